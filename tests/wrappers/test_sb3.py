"""The Stable-Baselines3 wrapper, against singly wrapped envs and SB3's own tools."""

import copy
import dataclasses
import importlib
import sys
from functools import partial
from typing import Any

import fakes
import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnvWrapper,
    VecFrameStack,
    VecTransposeImage,
)

from stemob_wrappers import StemConfig, StemObservation
from stemob_wrappers.evaluation import Condition, load_policy
from stemob_wrappers.evaluation.learned import as_tested, learned_from
from stemob_wrappers.evaluation.policies import UNTOLD
from stemob_wrappers.wrappers.sb3 import StemVecEnv

STEM = {"noise": "episode", "inversion_steps": 25}
SIZE_36 = {"front": {"shape": [36, 36, 3]}, "arm": {"shape": [3], "dtype": "float32"}}


def env_fns(layout: Any = fakes.IMAGE, num_envs=3) -> list[Any]:
    """Makers of envs whose episodes are 2, 3, 4, ... steps long."""
    make = partial(gym.make, "fakes:fake/Frame-v0", layout=layout)
    return [partial(make, episode_length=2 + row) for row in range(num_envs)]


def singly_wrapped(fns):
    return DummyVecEnv([partial(wrap, fn) for fn in fns])


def wrap(fn):
    return StemObservation(fn(), **STEM)


def play(venv, steps=7):
    """Return every observation, each terminal one under its env and step."""
    seen = [venv.reset()]
    for _ in range(steps):
        observation, _, dones, infos = venv.step(np.zeros(venv.num_envs, int))
        seen.append(observation)
        for done, info in zip(dones, infos, strict=True):
            assert ("terminal_observation" in info) == done
            if done:
                seen.append(info["terminal_observation"])
    return copy.deepcopy(seen)


def as_dict(observation):
    return observation if isinstance(observation, dict) else {"": observation}


def assert_same(first, second):
    pairs = zip(map(as_dict, first), map(as_dict, second), strict=True)
    for one, other in pairs:
        assert one.keys() == other.keys()
        for key in one:
            assert one[key].dtype == other[key].dtype
            np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize("layout", [fakes.IMAGE, {"shape": [3, 16, 16]}, fakes.TWO_CAMERAS])
@pytest.mark.parametrize("when", ["before wrapping", "after wrapping"])
def test_frames_are_those_of_singly_wrapped_envs(layout, when):
    inner = DummyVecEnv(env_fns(layout))
    if when == "before wrapping":
        inner.seed(4)
    ours = StemVecEnv(inner, **STEM)
    theirs = singly_wrapped(env_fns(layout))
    if when == "after wrapping":
        ours.seed(4)
    theirs.seed(4)
    seen = play(ours)
    assert len(seen) > 1 + 7  # episodes ended
    assert ours.observation_space == theirs.observation_space
    assert_same(seen, play(theirs))
    assert_same(play(ours), play(theirs))  # reset again, this time without a seed


def test_worker_processes_give_the_same_frames():
    workers = StemVecEnv(SubprocVecEnv(env_fns(num_envs=2), start_method="fork"), **STEM)
    try:
        here = StemVecEnv(DummyVecEnv(env_fns(num_envs=2)), **STEM)
        workers.seed(4)
        here.seed(4)
        assert_same(play(workers), play(here))
    finally:
        workers.close()


def test_images_may_be_transposed_inside_or_outside():
    inside = StemVecEnv(VecTransposeImage(DummyVecEnv(env_fns())), **STEM)
    outside = VecTransposeImage(StemVecEnv(DummyVecEnv(env_fns()), **STEM))
    inside.seed(1)
    outside.seed(1)
    assert inside.observation_space == outside.observation_space
    assert_same(play(inside), play(outside))


def test_frames_may_be_stacked_outside():
    stacked = VecFrameStack(StemVecEnv(DummyVecEnv(env_fns()), **STEM), 2)
    plain = StemVecEnv(DummyVecEnv(env_fns()), **STEM)
    stacked.seed(1)
    plain.seed(1)
    first, second = np.asarray(stacked.reset()), np.asarray(plain.reset())
    np.testing.assert_array_equal(first[..., 3:], second)
    assert not first[..., :3].any()


def test_one_inverter_call_a_step_with_the_terminal_observations():
    venv = StemVecEnv(DummyVecEnv(env_fns(num_envs=4)))
    venv.reset()
    for step in range(1, 6):
        venv.step(np.zeros(4, int))
        assert venv.stats[""].inverter_calls == 1 + step
    assert venv.stats[""].frames > 4 * 6


class Spy(VecEnvWrapper):
    """Keeps the infos that it gives."""

    def reset(self):
        return self.venv.reset()

    def step_wait(self):
        result = self.venv.step_wait()
        self.given = result[-1]
        self.copies = copy.deepcopy(self.given)
        return result


def test_infos_given_are_not_mutated():
    spy = Spy(DummyVecEnv(env_fns()))
    venv = StemVecEnv(spy)
    venv.reset()
    venv.step(np.zeros(3, int))
    infos = venv.step(np.zeros(3, int))[-1]
    for given, before in zip(spy.given, spy.copies, strict=True):
        assert given.keys() == before.keys()
    raw, kept = spy.given[0]["terminal_observation"], spy.copies[0]["terminal_observation"]
    np.testing.assert_array_equal(raw, kept)
    assert not np.array_equal(raw, infos[0]["terminal_observation"])


@pytest.mark.filterwarnings("ignore::UserWarning")  # what SB3 recommends for other envs
def test_a_wrapped_env_passes_the_check_of_stable_baselines3():
    check_env(StemObservation(gym.make("fakes:fake/Frame-v0", layout=SIZE_36["front"])))
    check_env(StemObservation(gym.make("fakes:fake/Frame-v0", layout=SIZE_36)))


@pytest.mark.parametrize(
    ("policy", "layout"), [("CnnPolicy", SIZE_36["front"]), ("MultiInputPolicy", SIZE_36)]
)
def test_ppo_learns_on_stem_frames(policy, layout):
    env_kwargs = {"layout": layout}
    venv = make_vec_env("fakes:fake/Frame-v0", n_envs=2, seed=0, env_kwargs=env_kwargs)
    venv = StemVecEnv(venv)
    model = PPO(policy, venv, n_steps=8, batch_size=8, n_epochs=1, device="cpu")
    before = [weights.clone() for weights in model.policy.parameters()]
    model.learn(32)
    assert model.num_timesteps == 32
    assert any(
        not weights.equal(old)
        for weights, old in zip(model.policy.parameters(), before, strict=True)
    )
    assert len(model.ep_info_buffer or ()) == 8  # episodes of four steps each
    observation: Any = venv.reset()
    action, _ = model.predict(observation)
    assert action.shape == (2,)


def test_a_saved_model_keeps_what_it_learned_from(tmp_path):
    layout = {"front": {"shape": [36, 36, 3]}, "arm": {"shape": [3], "dtype": "float32"}}
    inner = DummyVecEnv(env_fns(layout, num_envs=1))
    venv = StemVecEnv(inner, inversion_steps=7)
    model = PPO("MultiInputPolicy", VecFrameStack(venv, 2), n_steps=8, batch_size=8, device="cpu")
    model.save(tmp_path / "model.zip")
    condition = Condition("mine", f"PPO:{tmp_path / 'model.zip'}", venv.config)
    told = learned_from(condition.load())
    assert told["fingerprint"] == venv.pipelines["front"].fingerprint
    assert told["converted"] == ["front"]
    assert StemConfig.from_dict(told["config"]) == venv.config
    assert as_tested(condition, condition.load(), told["fingerprint"]) == condition
    with pytest.raises(ValueError, match=r"\(test raw\)"):
        as_tested(dataclasses.replace(condition, stem=None), condition.load(), None)
    assert not hasattr(inner.action_space, "learned_from")
    model = PPO("MultiInputPolicy", inner, n_steps=8, batch_size=8, device="cpu")
    model.save(tmp_path / "raw.zip")
    assert learned_from(load_policy(f"PPO:{tmp_path / 'raw.zip'}")) == UNTOLD


def test_without_stable_baselines3_the_extra_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "stemob_wrappers.wrappers.sb3")
    monkeypatch.setitem(sys.modules, "stable_baselines3.common.vec_env", None)
    with pytest.raises(ImportError, match=r"stemob_wrappers\[sb3\]"):
        importlib.import_module("stemob_wrappers.wrappers.sb3")
