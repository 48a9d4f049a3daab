"""The robustness benchmark, whole but small: collect, convert, train, evaluate, report."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.robustness import conditions as arms
from experiments.robustness import run as robustness

ROOT = Path(__file__).parents[3]


def run_benchmark(*arguments):
    command = [sys.executable, "-m", "experiments.robustness.run", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_every_kind_of_arm_is_there():
    names = list(arms.ARMS)
    assert len(names) == len({*arms.SINGLE, *arms.JOINED, *arms.AUGMENTED}) == 27
    assert [
        arm.name
        for arm in arms.SINGLE
        if (arm.train_stem, arm.test_stem, arm.augment) == (None, None, "none")
    ] == ["raw", "random appearance"]
    assert {arm.augment for arm in arms.SINGLE} == {"none", *arms.AUGMENTATIONS}
    with pytest.raises(ValueError, match="unknown arms \\['rwa'\\]; choose from raw, embedded"):
        arms.choose_arms(["raw", "rwa"])


def test_the_best_placed_are_joined_by_what_is_always_there():
    gen = {"raw": 0.1, "srm": 0.5, "embedded": 0.2, "mixup": 0.3, "embedded + srm": 0.6}
    assert arms.best_placed(gen, 2) == ["raw", "embedded", "embedded + srm", "srm"]
    assert [arm.name for arm in arms.joined_with("srm", arms.SINGLE)] == [
        "embedded + srm",
        "embedded-canonical + srm",
    ]
    assert robustness.best_augmentations(gen) == ["srm", "mixup"]


def test_the_augmented_arms_differ_in_their_stem_alone():
    assert [(arm.train_stem, arm.test_stem) for arm in arms.AUGMENTED] == [
        (stem, stem) for stem in (None, "embedded", "embedded-canonical")
    ]
    assert {(arm.augment, arm.appearance, arm.copies) for arm in arms.AUGMENTED} == {
        ("colour_jitter", None, True)
    }


def test_training_seeds_can_be_named_by_task():
    settings = robustness.parse(["--work", "work", "--tasks", "Lift,Stack:1"])
    assert robustness.study_of(settings).tasks == {"Lift": 3, "Stack": 1}


def test_the_screening_chooses_on_dev_and_the_table_is_made_on_test():
    assert (robustness.SCREEN.split, robustness.FULL.split) == ("dev", "test")


def test_a_backbone_that_is_missing_is_named_at_the_start(tmp_path, monkeypatch):
    other = arms.ArmSpec("other", "no-such-backbone", "no-such-backbone")
    monkeypatch.setitem(arms.ARMS, "other", other)
    with pytest.raises(ValueError, match=r"unknown backbone.*asked for by other.*--arms"):
        robustness.main(["--work", str(tmp_path), "--miniature", "--arms", "raw,other"])
    assert not list(tmp_path.iterdir())


def test_the_full_table_needs_a_screening(tmp_path):
    with pytest.raises(FileNotFoundError, match="run it with --screen first"):
        robustness.main(["--work", str(tmp_path)])


def test_the_whole_in_little(tmp_path):
    pytest.importorskip("robosuite")
    settings = ("--work", tmp_path / "work", "--miniature", "--results", tmp_path / "results")
    done = run_benchmark(*settings)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "results" / "robustness-miniature.json").read_text())
    arms = ["raw", "embedded", "embedded (test only)", "random_conv", "random appearance"]
    arms.append("embedded-canonical of augmented")
    assert [arm["name"] for arm in content["arms"]] == arms
    assert [(r["cell"], r["arm"]) for r in content["records"]] == [
        (cell, arm) for cell in ("clean", "texture-4") for arm in arms
    ]
    assert {tuple(record["seeds"]) for record in content["records"]} == {
        tuple(content["records"][0]["seeds"])
    }
    assert content["settings"]["env_kwargs"]["stemob/Lift-v0"]["horizon"] == 8
    steps = 8 // content["settings"]["env_kwargs"]["stemob/Lift-v0"]["chunk"]
    assert all(record["lengths"] == [steps, steps] for record in content["records"])
    assert content["benchmark"]["backbone_knew_task"] == {"Lift": True}
    assert len(content["benchmark"]["beyond_best_without_stem"]["gen"]) == 5
    page = (tmp_path / "results" / "robustness-miniature.html").read_text()
    assert all(arm in page for arm in arms)
    assert str(tmp_path) not in json.dumps(content)
    assert str(tmp_path) not in page
    trained = list((tmp_path / "work" / "policies").rglob("policy.safetensors"))
    assert len(trained) == 5  # the arm with the stem at test time only shares the raw policy

    again = run_benchmark(*settings)  # nothing is made or played again
    assert again.returncode == 0, again.stderr
    repeated = json.loads((tmp_path / "results" / "robustness-miniature.json").read_text())
    assert repeated["records"] == content["records"]
