"""Models of Stable-Baselines3 and sb3_contrib, played outside of the wrappers of their training."""

import sys
from functools import partial
from typing import Any

import fakes  # noqa: F401
import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("stable_baselines3")
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecFrameStack,
    VecNormalize,
    VecTransposeImage,
)

from stemob_wrappers.evaluation import Condition, load_policy

LAYOUT = {"front": {"shape": [36, 36, 3]}, "arm": {"shape": [3], "dtype": "float32"}}
KEYS: dict[str, Any] = {"norm_obs_keys": ["arm"]}


def envs(layout: Any = LAYOUT) -> DummyVecEnv:
    """Two envs whose episodes have two and three steps."""
    make = partial(gym.make, "fakes:fake/Frame-v0", layout=layout)
    venv = DummyVecEnv([partial(make, episode_length=length) for length in (2, 3)])
    venv.seed(3)
    return venv


def stack_normalize(venv):
    return VecNormalize(VecFrameStack(venv, 3), **KEYS)


def normalize_stack(venv):
    return VecFrameStack(VecNormalize(venv, **KEYS), 3)


def transpose_stack(venv):
    return VecFrameStack(VecTransposeImage(venv), 3)


def alone(venv):
    return VecFrameStack(VecNormalize(venv), 2)


def statistics_of(venv: Any) -> Any:
    while not isinstance(venv, VecNormalize):
        venv = getattr(venv, "venv", None)
        if venv is None:
            return None
    return venv


@pytest.mark.parametrize(
    ("wrap", "layout", "policy"),
    [
        (stack_normalize, LAYOUT, "MultiInputPolicy"),
        (normalize_stack, LAYOUT, "MultiInputPolicy"),
        (transpose_stack, LAYOUT, "MultiInputPolicy"),
        (partial(VecFrameStack, n_stack=4), {"shape": [36, 36, 3]}, "CnnPolicy"),
        (alone, LAYOUT["arm"], "MlpPolicy"),
    ],
)
def test_it_sees_what_the_wrappers_of_its_training_give(tmp_path, wrap, layout, policy):
    trained: Any = wrap(envs(layout))
    model = PPO(policy, trained, n_steps=8, batch_size=8, n_epochs=1, device="cpu", seed=0)
    model.learn(16)  # so that there are statistics
    model.save(tmp_path / "model.zip")
    normalized = statistics_of(trained)
    if normalized is not None:
        normalized.training = False
        normalized.save(str(tmp_path / "model_vecnormalize.pkl"))
    played: Any = load_policy(f"PPO:{tmp_path / 'model.zip'}")
    seen: list[Any] = []
    predict = played.model.predict
    played.model.predict = lambda seeing, **given: seen.append(seeing) or predict(seeing, **given)

    raw = envs(layout)
    trained.seed(3)
    expected, plain = trained.reset(), raw.reset()
    played.reset(np.ones(2, bool))
    for _ in range(7):
        actions = played(plain)
        np.testing.assert_array_equal(actions, model.predict(expected, deterministic=True)[0])
        # The model itself puts channels first, as VecTransposeImage does.
        for one, other in zip(parts(expected), parts(seen[-1]), strict=True):
            turned = other if one.shape == other.shape else np.moveaxis(other, -1, 1)
            np.testing.assert_array_equal(one, turned)
        expected = trained.step(actions)[0]
        plain, _, dones, _ = raw.step(actions)
        played.reset(dones)


def parts(observation: Any) -> list[Any]:
    if isinstance(observation, dict):
        return [observation[key] for key in sorted(observation)]
    return [observation]


@pytest.fixture
def saved(tmp_path):
    """A model that was trained under VecNormalize, and its statistics elsewhere."""
    venv = VecNormalize(envs(LAYOUT["arm"]))
    model = PPO("MlpPolicy", venv, n_steps=8, batch_size=8, device="cpu", seed=0)
    venv.reset()
    model.save(tmp_path / "rl_40_steps.zip")
    venv.save(str(tmp_path / "elsewhere.pkl"))
    return tmp_path


@pytest.mark.parametrize(
    "name",
    ["rl_40_steps.pkl", "rl_vecnormalize_40_steps.pkl", "vecnormalize.pkl", "vec_normalize.pkl"],
)
def test_statistics_are_found_beside_the_model_or_named_and_are_part_of_it(saved, name):
    condition = Condition("mine", f"PPO:{saved / 'rl_40_steps.zip'}")
    observation = np.full((1, 3), 2.0, np.float32)
    without, content = condition.load()(observation), condition.identity()["content"]
    named = Condition("mine", f"{condition.policy}:{saved / 'elsewhere.pkl'}")
    acted = named.load()(observation)
    assert named.identity()["content"] != content
    (saved / "elsewhere.pkl").rename(saved / name)
    np.testing.assert_array_equal(condition.load()(observation), acted)
    assert condition.identity()["content"] != content
    assert without.shape == acted.shape


def test_what_does_not_fit_is_told(saved):
    policy = load_policy(f"PPO:{saved / 'rl_40_steps.zip'}")
    with pytest.raises(ValueError, match=r"learned from an observation of shape \(3,\)"):
        policy(np.zeros((1, 4), np.float32))
    named = f"PPO:{saved / 'rl_40_steps.zip'}:{saved / 'elsewhere.pkl'}"
    other = VecNormalize(envs({"shape": [5], "dtype": "float32"}))
    other.save(str(saved / "elsewhere.pkl"))
    with pytest.raises(ValueError, match="statistics of VecNormalize are of shape"):
        load_policy(named)(np.zeros((1, 3), np.float32))
    with pytest.raises(FileNotFoundError, match=r"no statistics of VecNormalize at no\.pkl"):
        load_policy(f"PPO:{saved / 'rl_40_steps.zip'}:no.pkl")
    (saved / "text.zip").write_text("no zip")
    with pytest.raises(ValueError, match="it is no zip file"):
        load_policy(f"PPO:{saved / 'text.zip'}")


def test_without_sb3_contrib_its_pip_line_is_named(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"TQC:.* needs .*: pip install sb3-contrib"):
        load_policy(f"TQC:{saved / 'rl_40_steps.zip'}")


def test_a_recurrent_model_of_sb3_contrib(tmp_path):
    contrib = pytest.importorskip("sb3_contrib")
    model = contrib.RecurrentPPO(
        "MlpLstmPolicy", envs(LAYOUT["arm"]), n_steps=8, batch_size=8, device="cpu", seed=0
    )
    model.save(tmp_path / "model.zip")
    policy: Any = load_policy(f"RecurrentPPO:{tmp_path / 'model.zip'}")
    observation = np.ones((2, 3), np.float32)
    policy.reset(np.ones(2, bool))
    policy(observation)
    state = policy._state[0].copy()
    policy.reset(np.array([True, False]))
    policy(observation)
    np.testing.assert_array_equal(policy._state[0][:, 0], state[:, 0])  # it forgot
    assert not np.array_equal(policy._state[0][:, 1], state[:, 1])
