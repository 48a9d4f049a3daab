"""The vector wrapper against Gymnasium's own vector envs of singly wrapped envs."""

import copy
import functools
import multiprocessing
from functools import partial
from typing import Any

import fakes
import gymnasium as gym
import numpy as np
import pytest
import tiny_models
import torch
from gymnasium import spaces
from gymnasium.error import ClosedEnvironmentError
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from hypothesis import given, settings
from hypothesis import strategies as st

import stemob_wrappers
from stemob_wrappers.vector import StemObservation

LAYOUTS = {
    "image": fakes.IMAGE,
    "channels first": {"shape": [3, 16, 24]},
    "floats": {"shape": [16, 16, 3], "dtype": "float32"},
    "stack": {"shape": [2, 16, 16, 3]},
    "stacked channels": {"shape": [6, 16, 16]},
    "two cameras": fakes.TWO_CAMERAS,
    "nested": {"images": {"front": {"shape": [16, 16, 3]}}, "arm": {"shape": [3], "low": 0}},
    "tuple": [{"shape": [16, 16, 3]}, {"shape": [2], "dtype": "float32"}],
}
MODES = tuple(AutoresetMode)
TINY: dict[str, Any] = {}  # a backbone of a few weights, so that tests are fast
EPISODE: dict[str, Any] = {"noise": "episode", "inversion_steps": 25}  # and that one


@pytest.fixture(scope="module", autouse=True)
def tiny_backbone(tmp_path_factory):
    folder = tiny_models.save_stem_backbone(tmp_path_factory.mktemp("tiny") / "model")
    for options in (TINY, EPISODE):
        options["backbone"] = folder


def env_fns(layout=fakes.IMAGE, num_envs=3, wrapper=None, **kwargs):
    """Makers of sub-envs whose episodes are 2, 3, 4, ... steps long."""
    # Nothing of this module is in them: spawned workers would import it, and torch with it.
    make = partial(gym.make, "fakes:fake/Frame-v0", layout=layout, **kwargs)
    fns = [partial(make, episode_length=2 + row) for row in range(num_envs)]
    return fns if wrapper is None else [partial(wrap, wrapper, fn) for fn in fns]


def wrap(wrapper, fn):
    return wrapper(fn())


def play(venv, seed=3, steps=9):
    """Reset and step; return every observation, each final one under its env and step."""
    disabled = venv.metadata["autoreset_mode"] == AutoresetMode.DISABLED
    seen: dict[Any, Any] = {"reset": venv.reset(seed=seed)[0]}
    for step in range(steps):
        actions = np.arange(venv.num_envs) % 2
        seen[step], _, terminated, truncated, infos = venv.step(actions)
        ended = terminated | truncated
        for row, final in enumerate(infos.get("final_obs", ())):
            assert (final is not None) == ended[row]
            if final is not None:
                seen[step, row] = final
        if disabled and ended.any():
            seen[step, "reset"] = venv.reset(options={"reset_mask": ended})[0]
    return copy.deepcopy(seen)


def assert_same(first, second):
    assert type(first) is type(second)
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, tuple):
        for a, b in zip(first, second, strict=True):
            assert_same(a, b)
    else:
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_frames_are_those_of_singly_wrapped_envs(layout, mode):
    single = partial(stemob_wrappers.StemObservation, **EPISODE)
    wrapped_first = SyncVectorEnv(env_fns(layout, wrapper=single), autoreset_mode=mode)
    wrapped_last = StemObservation(SyncVectorEnv(env_fns(layout), autoreset_mode=mode), **EPISODE)
    seen = play(wrapped_last)
    assert any(isinstance(moment, tuple) for moment in seen) == (mode != AutoresetMode.NEXT_STEP)
    assert wrapped_last.observation_space == wrapped_first.observation_space
    assert seen["reset"] in wrapped_last.observation_space
    assert_same(seen, play(wrapped_first))


SEEDS = st.one_of(
    st.none(),
    st.integers(0, 99),
    st.lists(st.one_of(st.none(), st.integers(0, 99)), min_size=3, max_size=3),
)
MASKS = st.one_of(st.none(), st.lists(st.booleans(), min_size=3, max_size=3).filter(any))
STEP = st.just("step")  # more often than resets, so that episodes end
CALLS = st.lists(st.one_of(STEP, STEP, STEP, st.tuples(SEEDS, MASKS)), min_size=6, max_size=12)


@functools.cache
def twins(mode):
    """A wrapped vector env and a vector env of wrapped envs; a seeded reset begins all anew."""
    single = partial(stemob_wrappers.StemObservation, **EPISODE)
    tiny: Any = {"shape": [8, 8, 3]}
    ours = StemObservation(SyncVectorEnv(env_fns(tiny), autoreset_mode=mode), **EPISODE)
    return ours, SyncVectorEnv(env_fns(tiny, wrapper=single), autoreset_mode=mode)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(calls=CALLS)
def test_any_sequence_of_calls_gives_the_frames_of_singly_wrapped_envs(mode, calls):
    ours, theirs = twins(mode)
    np.testing.assert_array_equal(ours.reset(seed=0)[0], theirs.reset(seed=0)[0])
    ended = np.zeros(3, bool)
    for call in calls:
        if call == "step":
            if mode == AutoresetMode.DISABLED and ended.any():
                ours.reset(options={"reset_mask": ended})
                theirs.reset(options={"reset_mask": ended})
            one, other = ours.step(np.zeros(3, int)), theirs.step(np.zeros(3, int))
            ended = other[2]
            for row in np.flatnonzero(ended) if mode == AutoresetMode.SAME_STEP else ():
                final = one[-1]["final_obs"][row]
                np.testing.assert_array_equal(final, other[-1]["final_obs"][row])
        else:
            seed, mask = call
            began = np.ones(3, bool) if mask is None else np.array(mask)
            options = None if mask is None else {"reset_mask": began}
            one = ours.reset(seed=seed, options=options)
            other = theirs.reset(seed=seed, options=options)
            ended = ended & ~began
        np.testing.assert_array_equal(one[0], other[0])


@pytest.mark.parametrize("mask", [None, [True, False, False], [False, True, True]])
def test_a_reset_between_the_end_and_its_autoreset_starts_one_episode(mask):
    single = partial(stemob_wrappers.StemObservation, **EPISODE)
    seen = []
    for venv in (
        StemObservation(SyncVectorEnv(env_fns()), **EPISODE),
        SyncVectorEnv(env_fns(wrapper=single)),
    ):
        venv.reset(seed=0)
        venv.step(np.zeros(3, int))
        assert venv.step(np.zeros(3, int))[2][0]
        options = None if mask is None else {"reset_mask": np.array(mask)}
        seen.append([venv.reset(options=options)[0], venv.step(np.zeros(3, int))[0]])
    assert_same(tuple(seen[0]), tuple(seen[1]))


@pytest.mark.parametrize("context", ["fork", "forkserver", "spawn"])
def test_frames_of_worker_processes_are_those_of_one_process(context):
    fns = env_fns(fakes.TWO_CAMERAS, num_envs=2)
    mode = AutoresetMode.SAME_STEP
    workers = StemObservation(AsyncVectorEnv(fns, context=context, autoreset_mode=mode), **EPISODE)
    try:
        here = StemObservation(SyncVectorEnv(fns, autoreset_mode=mode), **EPISODE)
        assert_same(play(workers), play(here))
    finally:
        workers.close()


def test_workers_load_no_model():
    # Started afresh, as a forked worker shows what its parent had loaded.
    workers = AsyncVectorEnv(env_fns(num_envs=1), context="spawn")
    venv = StemObservation(workers)
    try:
        venv.reset(seed=0)
        assert workers.call("has_imported", "numpy") == (True,)
        assert workers.call("has_imported", "torch") == (False,)
    finally:
        venv.close()


@pytest.mark.parametrize("seeds", [7, [7, 8, 9], [7, None, 9]])
def test_a_seed_reaches_the_noise_of_its_sub_env(seeds):
    # Without a seed the frames would differ too: only the seeded sub-envs can be compared.
    seeded = [0, 2] if isinstance(seeds, list) and None in seeds else [0, 1, 2]
    venv = StemObservation(SyncVectorEnv(env_fns()), **EPISODE)
    first = [venv.reset(seed=seeds)[0], venv.step(np.zeros(3, int))[0]]
    venv.reset(seed=1)
    again = [venv.reset(seed=seeds)[0], venv.step(np.zeros(3, int))[0]]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one[seeded], other[seeded])


def test_envs_given_one_seed_have_one_noise_and_episodes_differ():
    venv = StemObservation(SyncVectorEnv(env_fns()), **EPISODE)
    first = venv.reset(seed=[5, 5, 6])[0]
    second = venv.reset()[0]
    np.testing.assert_array_equal(first[0], first[1])
    np.testing.assert_array_equal(second[0], second[1])
    assert not np.array_equal(first[0], second[0])


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_one_codec_forward_per_frame_size_and_step(mode):
    venv = SyncVectorEnv(env_fns(fakes.TWO_CAMERAS, num_envs=4), autoreset_mode=mode)
    venv = StemObservation(venv, cache=False, engine="torch", **TINY)
    module = venv.pipelines["front"].inverter.backbone.codec.module
    forwards = []
    first_layer = next(layer for layer in module.modules() if isinstance(layer, torch.nn.Conv2d))
    hook = first_layer.register_forward_hook(lambda layer, given, result: forwards.append(given))
    try:
        venv.reset(seed=0)
        assert len(forwards) == 2  # cameras of two sizes
        venv.step(np.zeros(4, int))
        assert len(forwards) == 4
        _, _, terminated, _, infos = venv.step(np.zeros(4, int))
        assert len(forwards) == 6
        assert terminated[0]
        assert ("final_obs" in infos) == (mode == AutoresetMode.SAME_STEP)
    finally:
        hook.remove()


class Spy(VectorWrapper):
    """Keeps what passes: the infos it gives and the options it gets, with copies of them."""

    def reset(self, *, seed=None, options=None):
        self.options = options or {}
        return self._keep(super().reset(seed=seed, options=options))

    def step(self, actions):
        return self._keep(super().step(actions))

    def _keep(self, result):
        self.given = (result[0], result[-1])
        self.copies = copy.deepcopy(self.given)
        return result


def test_nothing_given_is_mutated():
    mode = AutoresetMode.SAME_STEP
    spy = Spy(SyncVectorEnv(env_fns(fakes.TWO_CAMERAS), autoreset_mode=mode))
    venv = StemObservation(spy, **TINY)
    options = {"reset_mask": np.array([True, True, True]), "level": 3}
    venv.reset(seed=0, options=options)
    assert options.keys() == {"reset_mask", "level"}
    assert spy.options["level"] == 3
    ends = 0
    for _ in range(5):
        infos = venv.step(np.zeros(3, int))[-1]
        ends += "final_obs" in infos
        observations, given = spy.given
        assert_same(observations, spy.copies[0])
        assert given.keys() == infos.keys() == spy.copies[1].keys()
        for row, final in enumerate(given.get("final_obs", ())):
            assert (final is None) == (spy.copies[1]["final_obs"][row] is None)
            if final is not None:
                assert_same(final, spy.copies[1]["final_obs"][row])
    assert ends > 1


@pytest.mark.parametrize("vectorise", [SyncVectorEnv, AsyncVectorEnv])
def test_observations_outlive_shared_memory(vectorise):
    venv = vectorise(env_fns(fakes.TWO_CAMERAS, num_envs=2), copy=False)
    venv = StemObservation(venv, keep_raw=True, **TINY)
    try:
        first = venv.reset(seed=0)[0]
        kept = copy.deepcopy(first)
        second = venv.step(np.zeros(2, int))[0]
        assert_same(first, kept)
        for key in first:
            assert not np.array_equal(first[key], second[key])
    finally:
        venv.close()


def test_raw_frames_are_kept_beside_the_stem_frames():
    plain = SyncVectorEnv(env_fns(fakes.TWO_CAMERAS)).reset(seed=0)[0]
    venv = StemObservation(
        SyncVectorEnv(env_fns(fakes.TWO_CAMERAS)), keep_raw=True, keys=["front"], **TINY
    )
    observation = venv.reset(seed=0)[0]
    assert observation in venv.observation_space
    assert venv.observation_space == batch_space(venv.single_observation_space, 3)
    np.testing.assert_array_equal(observation["front_raw"], plain["front"])
    np.testing.assert_array_equal(observation["wrist"], plain["wrist"])
    assert not np.array_equal(observation["front"], plain["front"])


@pytest.mark.parametrize("vectorise", ["sync", "async", "vector_entry_point"])
def test_the_spec_never_builds_an_unwrapped_env(vectorise):
    if "fake/Torch-v0" not in gym.registry:
        gym.register("fake/Torch-v0", vector_entry_point=_torch_frames)
    id = "fake/Torch-v0" if vectorise == "vector_entry_point" else "fakes:fake/Frame-v0"
    venv = StemObservation(gym.make_vec(id, num_envs=2, vectorization_mode=vectorise), **TINY)
    try:
        for wrapped in (venv, gym.wrappers.vector.RecordEpisodeStatistics(venv)):
            spec = wrapped.spec
            assert spec is not None
            assert spec.id == id.rsplit(":", maxsplit=1)[-1]
            with pytest.raises(gym.error.Error, match="wrap it again"):
                gym.make_vec(spec)
    finally:
        venv.close()


def test_a_vector_env_without_spec_has_none():
    assert StemObservation(SyncVectorEnv(env_fns()), **TINY).spec is None


def _torch_frames(**kwargs):  # Gymnasium takes a function, not a class
    return TorchFrames(**kwargs)


class TorchFrames(VectorEnv):
    """A vector env of its own kind: torch batches, all episodes three steps long, SAME_STEP."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, num_envs, device="cpu"):
        self.num_envs = num_envs
        self.single_observation_space = fakes.space_of(fakes.TWO_CAMERAS)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.single_action_space = spaces.Discrete(2)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._device = device

    def reset(self, *, seed=None, options=None):
        self._rng = np.random.default_rng(seed)
        self._step = 0
        return self._draw(), {}

    def step(self, actions):
        self._step += 1
        observation, ended = self._draw(), self._step % 3 == 0
        flags = torch.full((self.num_envs,), ended, device=self._device)
        infos = {"final_obs": observation} if ended else {}
        result = self._draw() if ended else observation
        return result, torch.zeros(self.num_envs), flags, torch.zeros_like(flags), infos

    def _draw(self):
        return {
            key: torch.as_tensor(value, device=self._device)
            for key, value in fakes.draw(self.observation_space, self._rng).items()
        }


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_torch_observations_stay_torch_on_their_device(device):
    raw = TorchFrames(2, device)
    raw.reset(seed=0)
    venv = StemObservation(TorchFrames(2, device), **EPISODE)
    first = venv.reset(seed=0)[0]
    plain_steps = [raw.step(None) for _ in range(3)]
    steps = [venv.step(None) for _ in range(3)]
    pairs = [(step[0], plain[0]) for step, plain in zip(steps, plain_steps, strict=True)]
    pairs.append((steps[-1][-1]["final_obs"], plain_steps[-1][-1]["final_obs"]))
    for observation, untouched in pairs:
        assert observation["front"].dtype == torch.uint8
        assert observation["front"].device.type == device
        assert not torch.equal(observation["front"], untouched["front"])
        assert torch.equal(observation["arm"], untouched["arm"])
    assert first["front"].add_(1).shape == (2, 32, 32, 3)  # an ordinary tensor, not of inference


@pytest.mark.parametrize(
    ("fault", "error"), [("raise", RuntimeError), ("exit", (EOFError, ConnectionError))]
)
@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.filterwarnings("ignore::UserWarning")  # Gymnasium tells the worker's traceback
def test_a_failing_worker_raises_and_leaves_no_process(fault, error, row):
    before = set(multiprocessing.active_children())
    fns = env_fns(num_envs=3)
    fns[row] = partial(fns[row], fault=fault)
    venv = StemObservation(AsyncVectorEnv(fns), **TINY)
    venv.reset(seed=0)
    venv.step(np.zeros(3, int))
    with pytest.raises(error) as caught:
        venv.step(np.zeros(3, int))
    if fault == "raise":
        assert str(caught.value) == "a fault of the env"
    else:
        assert f"AsyncVectorEnv>-{row})" in caught.value.__notes__[0]
    venv.close()
    venv.close()
    assert set(multiprocessing.active_children()) <= before
    with pytest.raises(ClosedEnvironmentError):
        venv.step(np.zeros(3, int))
    with pytest.raises(ClosedEnvironmentError):
        venv.reset()


def test_closing_twice_and_stepping_after_close():
    venv = StemObservation(AsyncVectorEnv(env_fns(num_envs=2)), **TINY)
    venv.reset(seed=0)
    venv.close()
    venv.close()
    assert venv.closed
    with pytest.raises(ClosedEnvironmentError):
        venv.step(np.zeros(2, int))


def test_an_unknown_autoreset_mode_is_taken_for_the_default_with_a_warning():
    plain = SyncVectorEnv(env_fns())
    del plain.metadata["autoreset_mode"]
    with pytest.warns(UserWarning, match="NEXT_STEP"):
        StemObservation(plain, **TINY)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keys": ["back"]}, "'front', 'wrist'"),
        ({"expect": "0" * 32}, "fingerprint"),
        ({"inversion_step": 3}, "inversion_steps"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        StemObservation(SyncVectorEnv(env_fns(fakes.TWO_CAMERAS)), **arguments, **TINY)


def test_a_single_env_is_refused():
    with pytest.raises(TypeError, match="VectorEnv"):
        StemObservation(gym.make("fakes:fake/Frame-v0"))  # pyright: ignore[reportArgumentType]
