"""Fixed episodes for each sub-env, paired reset seeds, success, and times."""

import functools

import numpy as np
import pointing
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from stemob_wrappers import StemConfig, StemPipeline
from stemob_wrappers.evaluation.cells import Resting, episode_seeds, make_env
from stemob_wrappers.evaluation.rollouts import open_vector_env, play
from stemob_wrappers.perturb.suites import Cell
from stemob_wrappers.splits import DEMONSTRATION_SEEDS, EVALUATION_SEEDS

ENV = "pointing:fake/Pointing-v0"
SEEDS = [11, 22, 33, 44, 55, 66, 77]


def sync(count=2, cell=None, **env_kwargs):
    """The same envs in this process."""
    make = functools.partial(make_env, ENV, env_kwargs, cell, "dev")
    return SyncVectorEnv([make] * count, autoreset_mode=AutoresetMode.DISABLED)


@pytest.fixture(scope="module")
def venv():
    return sync()


def alone(policy, seed, cell=None):
    """What an episode gives in a single env: success, length, return, first image."""
    env = make_env(ENV, {}, cell, "dev")
    observation, _ = env.reset(seed=seed)
    first, length, total, over, info = observation["front_image"], 0, 0.0, False, {}
    while not over:
        batch = {key: value[None] for key, value in observation.items()}
        observation, reward, terminated, truncated, info = env.step(policy(batch)[0])
        over = terminated or truncated
        length, total = length + 1, total + float(reward)
    env.close()
    return info["success"], length, total, first


@pytest.mark.parametrize("policy", [pointing.look, pointing.guess])
def test_episodes_are_those_of_single_envs(venv, policy):
    watcher = pointing.Watcher(policy)
    table = play(venv, watcher, SEEDS)
    expected = [alone(policy, seed) for seed in SEEDS]
    assert table.successes == [row[0] for row in expected]
    assert table.lengths == [row[1] for row in expected]
    assert table.returns == [row[2] for row in expected]


def test_envs_of_several_actions_a_step_give_the_last_observation():
    """Two steps are one; a policy that gives each action twice plays the same game."""
    chunked, plain = make_env(ENV, {}, None, "dev", chunk=2), make_env(ENV, {}, None, "dev")
    for env in (chunked, plain):
        env.reset(seed=3)
    action = np.zeros(plain.action_space.shape or (), np.float32)
    plain.step(action)
    expected = plain.step(action)[0]
    seen = chunked.step(np.stack([action, action]))[0]
    assert seen.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(seen[key], value)


def test_the_task_tells_policies_apart(venv):
    assert all(play(venv, pointing.look, SEEDS).successes)
    assert sum(play(venv, pointing.guess, SEEDS).successes) < 4


def test_each_env_plays_every_second_episode_and_the_policy_hears_of_each(venv):
    watcher = pointing.Watcher(pointing.guess)
    play(venv, watcher, SEEDS)
    firsts = {seed: alone(pointing.guess, seed)[3] for seed in SEEDS}
    assert watcher.masks[0].all()
    assert sum(int(mask.sum()) for mask in watcher.masks) == len(SEEDS)
    for row in (0, 1):
        begun = sum(bool(mask[row]) for mask in watcher.masks)
        assert begun == len(SEEDS[row::2])
    seen = {image.tobytes() for image in watcher.first}
    assert seen == {image.tobytes() for image in firsts.values()}


def test_policies_that_act_differently_see_the_same_first_frames(venv):
    one, other = pointing.Watcher(pointing.look), pointing.Watcher(pointing.guess)
    play(venv, one, SEEDS)
    play(venv, other, SEEDS)
    assert len(one.first) == len(SEEDS)
    assert sorted(i.tobytes() for i in one.first) == sorted(i.tobytes() for i in other.first)


def test_a_stem_changes_what_is_seen_and_nothing_of_what_happens(venv):
    config = StemConfig(inversion_steps=5)
    raw, stem = pointing.Watcher(pointing.guess), pointing.Watcher(pointing.guess)
    raw_table = play(venv, raw, SEEDS[:4])
    stem_table = play(venv, stem, SEEDS[:4], stem=config)
    assert stem_table.lengths == raw_table.lengths
    expected = StemPipeline(config, cache=False)(np.stack(raw.first))
    np.testing.assert_array_equal(np.stack(stem.first), expected)
    assert raw_table.ms_per_step["stem"] == 0.0
    assert stem_table.ms_per_step["stem"] > 0
    assert stem_table.ms_per_step["env"] > 0
    assert stem_table.ms_per_step["policy"] > 0


def test_a_perturbed_cell_changes_the_frames_and_pairs_them_too():
    cell = Cell("corruption", 4)
    one, other = pointing.Watcher(pointing.look), pointing.Watcher(pointing.guess)
    with open_vector_env(ENV, {}, cell, "dev", 2) as workers:
        play(workers, one, SEEDS[:4])
    play(sync(cell=cell), other, SEEDS[:4])
    firsts = sorted(image.tobytes() for image in one.first)
    assert firsts == sorted(image.tobytes() for image in other.first)
    assert firsts == sorted(alone(pointing.look, s, cell)[3].tobytes() for s in SEEDS[:4])
    clean = sorted(alone(pointing.look, seed)[3].tobytes() for seed in SEEDS[:4])
    assert not set(firsts) & set(clean)


def test_more_envs_than_episodes_and_one_env(venv):
    watcher = pointing.Watcher()
    assert play(venv, watcher, SEEDS[:1]).successes == [True]
    assert watcher.masks[0].tolist() == [True, False]
    expected = [alone(pointing.look, seed)[1] for seed in SEEDS[:3]]
    assert play(sync(1), pointing.look, SEEDS[:3]).lengths == expected


def test_success_by_another_key_or_by_return():
    for key, needed in [("is_success", None), (None, 1.0)]:
        venv = sync(success_key=key)
        assert all(play(venv, pointing.look, SEEDS[:2], success_return=needed).successes)
    assert not any(play(venv, pointing.look, SEEDS[:2], success_return=1.5).successes)


def test_success_that_nothing_tells():
    with pytest.raises(ValueError, match=r"info\['success'\].*success_return"):
        play(sync(success_key=None), pointing.look, SEEDS[:2])


def test_actions_that_do_not_fit(venv):
    for policy, says in [
        (lambda observation: np.zeros(2), r"of shape \[2, 2\].*received \[2\]"),
        (lambda observation: np.full((2, 2), np.nan), "finite"),
    ]:
        with pytest.raises(ValueError, match=says):
            play(venv, policy, SEEDS[:2])
    assert play(venv, pointing.look, SEEDS[:2]).successes == [True, True]  # the env lives on


def test_a_worker_that_dies_ends_the_evaluation_at_once():
    with (
        pytest.raises((EOFError, ConnectionError)),
        open_vector_env(ENV, {"fault": "exit"}, None, "dev", 2) as venv,
    ):
        play(venv, pointing.guess, SEEDS[:2])


def test_an_env_that_is_reset_without_a_seed_rests():
    env = Resting(pointing.PointingEnv(horizon=1))
    env.reset(seed=0)
    last = env.step(np.zeros(2))
    assert env.reset()[0] is last[0]
    rest = env.step(np.ones(2))
    assert rest[0] is last[0]
    assert rest[1:] == (0.0, False, False, {})
    env.reset(seed=1)
    assert env.step(np.zeros(2))[0] is not last[0]


def test_reset_seeds_are_stable_and_splits_share_none():
    assert episode_seeds(0, "test", 30)[:20] == episode_seeds(0, "test", 20)
    assert episode_seeds(0, "test", 20) != episode_seeds(1, "test", 20)
    pools = [set(episode_seeds(s, split, 500)) for s in range(3) for split in ("dev", "test")]
    dev, test = set().union(*pools[::2]), set().union(*pools[1::2])
    assert not dev & test
    assert all(seed in EVALUATION_SEEDS for seed in dev | test)
    assert DEMONSTRATION_SEEDS.stop <= EVALUATION_SEEDS.start
    with pytest.raises(ValueError, match="split must be one of train, dev, test"):
        episode_seeds(0, "tset", 1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="episodes 1 or more"):
        episode_seeds(0, "test", 0)
