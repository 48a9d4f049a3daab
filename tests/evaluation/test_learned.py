"""A policy is tested on the frames that it learned from, or its row says that it is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pointing
import pytest
import squares
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from experiments.imitation import bc, diffusion_policy
from stemob_wrappers import StemConfig, StemPipeline
from stemob_wrappers.datasets import invert_dataset
from stemob_wrappers.evaluation import Condition, evaluate
from stemob_wrappers.evaluation.cells import make_env
from stemob_wrappers.evaluation.learned import as_tested, cross, keys_for, learned_from
from stemob_wrappers.evaluation.policies import UNTOLD
from stemob_wrappers.evaluation.rollouts import play

STEM = StemConfig(inversion_steps=3)
OTHER = StemConfig(inversion_steps=9)


class Policy(pointing.Watcher):
    """Points at the square, and tells what it learned from."""

    def __init__(self, learned: Any) -> None:
        super().__init__()
        self.learned_from = learned


def learned(config: StemConfig = STEM, **changes: Any) -> dict[str, Any]:
    fingerprint = StemPipeline(config, cache=False).fingerprint
    return {"fingerprint": fingerprint, "config": config.to_dict(), "converted": None, **changes}


def rows(conditions: list[Condition], out: Path) -> list[str]:
    settings: dict[str, Any] = {"suite": [], "episodes": 1, "split": "dev", "num_envs": 1}
    results = evaluate(conditions, "pointing:fake/Pointing-v0", out=out, **settings)
    return [record.condition for record in results.records]


@pytest.mark.parametrize(
    ("told", "tested", "says"),
    [
        (STEM, None, r"learned from frames of .* tested on raw frames \(test raw\)"),
        (None, STEM, r"learned from raw frames, .* frames of .* \(test embedded\)"),
        (STEM, OTHER, r"\(test embedded, inversion_steps=9\)"),
    ],
)
def test_other_frames_are_refused_or_named(told, tested, says):
    policy = Policy(told and learned(told))
    fingerprint = tested and StemPipeline(tested, cache=False).fingerprint
    with pytest.raises(ValueError, match=says):
        as_tested(Condition("mine", policy, tested), policy, fingerprint)
    allowed = as_tested(Condition("mine", policy, tested, allow_mismatch=True), policy, fingerprint)
    assert allowed.name.startswith("mine (test ")
    assert as_tested(allowed, policy, fingerprint) == allowed  # named once


def test_other_weights_are_other_frames():
    policy = Policy(learned(fingerprint="0" * 32))
    with pytest.raises(ValueError, match=r"\(test embedded, other weights\)"):
        as_tested(Condition("mine", policy, STEM), policy, learned()["fingerprint"])


def test_an_evaluation_refuses_before_it_plays_and_names_rows(tmp_path):
    conditions = [Condition("mine", Policy(learned()))]
    with pytest.raises(ValueError, match="'mine' learned from"):
        evaluate(conditions, "pointing:fake/Pointing-v0", out=tmp_path / "a", num_envs=1)
    assert not (tmp_path / "a").exists()
    allowed = [
        Condition("mine", Policy(learned()), STEM),
        Condition("mine", Policy(learned()), None, allow_mismatch=True),
    ]
    with pytest.raises(ValueError, match="'mine' is there twice"):
        evaluate(allowed, "pointing:fake/Pointing-v0", out=tmp_path / "b", num_envs=1)
    allowed[0] = Condition("ours", Policy(learned()), STEM)
    assert rows(allowed, tmp_path / "b") == ["ours", "mine (test raw)"]


def test_without_conditions_a_policy_is_tested_on_what_it_learned_from(monkeypatch):
    def conditions(told: Any, stems: Any = None) -> list[tuple[str, StemConfig | None]]:
        monkeypatch.setattr(pointing, "look", Policy(told))
        return [(c.name, c.stem) for c in cross(["pointing:look"], stems, StemConfig())]

    assert conditions(learned(OTHER)) == [("embedded", OTHER)]
    assert conditions(None) == [("raw", None)]
    assert conditions(UNTOLD) == [("raw", None), ("embedded", StemConfig())]
    assert conditions(learned(), ["raw"]) == [("embedded (test raw)", None)]
    several = {"fingerprint": {"a": "1", "b": "2"}, "config": None, "converted": ["a", "b"]}
    assert conditions(several, ["raw"]) == [("several stems (test raw)", None)]
    with pytest.raises(ValueError, match="name a condition"):
        conditions(several)


def test_images_that_stayed_raw_in_the_data_stay_raw():
    make = lambda: make_env("pointing:fake/Pointing-v0", {}, None, "dev")  # noqa: E731
    venv = SyncVectorEnv([make], autoreset_mode=AutoresetMode.DISABLED)
    space = venv.single_observation_space
    assert keys_for(Policy(learned(converted=["front_image", "wrist"])), space) == ["front_image"]
    assert keys_for(Policy(learned()), space) is None
    assert keys_for(pointing.look, space) is None
    seen = [pointing.Watcher() for _ in range(2)]
    for watcher, keys in zip(seen, (None, ["front_image"]), strict=True):
        play(venv, watcher, [1], stem=STEM, keys=keys)
    first, second = (watcher.images[0] for watcher in seen)
    np.testing.assert_array_equal(first, second)
    with pytest.raises(ValueError, match="keys names 'nothing'"):
        play(venv, pointing.look, [1], stem=STEM, keys=["nothing"])


@pytest.mark.parametrize("script", [bc, diffusion_policy])
def test_a_trained_policy_tells_what_it_learned_from(script, tmp_path):
    raw = squares.make_demos(tmp_path / "demos.hdf5", length=4)
    invert_dataset(raw, tmp_path / "stem.hdf5", STEM)
    assert StemConfig.from_dataset(tmp_path / "stem.hdf5") == STEM
    for demos, expected in (
        (raw, None),
        (tmp_path / "stem.hdf5", learned(converted=[*squares.CAMERAS])),
    ):
        config = script.Config(demos=str(demos), out=str(tmp_path / demos.stem), epochs=1)
        policy = script.load(script.train(config))
        assert learned_from(policy) == expected
