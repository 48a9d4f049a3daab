"""The robustness benchmark, whole but small: collect, convert, train, evaluate, report."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

import stemob_wrappers
from experiments.robustness import conditions, sizes
from experiments.robustness import run as robustness
from experiments.robustness.about import about_rows
from experiments.robustness.republish import with_meanings
from experiments.robustness.train import Recipe, TrainedPolicies


def test_every_kind_of_condition_is_there():
    names = list(conditions.CONDITIONS)
    parts = (conditions.SINGLE, conditions.JOINED, conditions.AUGMENTED, conditions.OWN_BACKBONE)
    assert len(names) == len({spec for part in parts for spec in part}) == 49
    assert [
        spec.name
        for spec in conditions.SINGLE
        if (spec.train_stem, spec.test_stem, spec.augment) == (None, None, "none")
    ] == ["raw", "random appearance"]
    assert {spec.augment for spec in conditions.SINGLE} == {"none", *conditions.AUGMENTATIONS}
    with pytest.raises(ValueError, match=r"unknown conditions \['rwa'\]; choose from raw, embed"):
        conditions.choose_conditions(["raw", "rwa"])


def test_the_best_placed_are_joined_by_what_is_always_there():
    gen = {"raw": 0.1, "srm": 0.5, "embedded": 0.2, "mixup": 0.3, "embedded + srm": 0.6}
    assert conditions.best_placed(gen, 2) == ["raw", "embedded", "embedded + srm", "srm"]
    assert [spec.name for spec in conditions.joined_with("srm", conditions.SINGLE)] == [
        "embedded + srm",
        "embedded-canonical + srm",
    ]
    assert robustness.best_augmentations(gen) == ["srm", "mixup"]


def test_the_augmented_conditions_differ_in_their_stem_alone():
    usual = [spec for spec in conditions.AUGMENTED if spec.augmented == 3]
    assert [(spec.train_stem, spec.test_stem) for spec in usual] == [
        (stem, stem) for stem in (None, "embedded", "embedded-canonical")
    ]
    assert [spec.name for spec in usual][:2] == ["augmented", "embedded of augmented"]
    assert {(spec.augment, spec.appearance) for spec in conditions.AUGMENTED} == {
        ("colour_jitter", None)
    }


def test_copies_have_rows_of_their_own_and_train_for_as_many_steps(tmp_path):
    one, six = (conditions.augmented("embedded", copies) for copies in (1, 6))
    assert (one.name, six.name) == ("embedded of augmented x1", "embedded of augmented x6")
    assert conditions.CONDITIONS[six.name] == six
    study = sizes.SCREEN
    made = (study.demos, study.epochs, study.augmented_epochs)
    specs = conditions.choose_conditions(["augmented x6", six.name])
    about = about_rows(specs, *made)
    assert about[six.name]["control"] == "augmented x6"
    assert about[six.name]["training"].startswith("Lift: 900 demonstrations, 10 epochs")
    assert "6 copies of each" in about[six.name]["means"]
    policies = TrainedPolicies(tmp_path, recipe())
    names = {policies.frames_path(conditions.augmented(None, n), "Lift").stem for n in (1, 3, 6)}
    assert names == {"Lift-nominal-2-augmented" + part for part in ("1", "", "6")}
    assert robustness.parse(["--work", "w", "--copies", "1,6"]).copies == (1, 6)
    with pytest.raises(SystemExit):
        robustness.parse(["--work", "w", "--copies", "2"])


def test_results_of_a_time_with_one_number_of_copies_can_be_read():
    spec = {"name": "augmented", "augment": "colour_jitter", "augmented": True}
    study = {"demos": {"Lift": 2}, "epochs": {"Lift": 1}, "augmented_epochs": {"Lift": 1}}
    told = with_meanings({"benchmark": {"study": study, "conditions": [spec]}})["about"]
    assert "3 copies of each" in told["augmented"]["means"]
    assert told["augmented"]["training"] == "Lift: 6 demonstrations, 1 epochs"


def test_a_backbone_of_the_task_is_named_by_task(tmp_path):
    asked = ["--work", "w", "--own-backbone", f"Lift={tmp_path}", "--own-backbone", "Door=b"]
    assert robustness.parse(asked).own_backbone == {
        "Lift": str(tmp_path),
        "Door": str(Path("b").resolve()),
    }
    with pytest.raises(SystemExit):
        robustness.parse(["--work", "w", "--own-backbone", "folder"])
    own = conditions.CONDITIONS["own of augmented"]
    weights = Path(stemob_wrappers.backbones.__file__).parent / "weights"
    shipped = next(weights.glob("embedded-v*"))
    policies = TrainedPolicies(tmp_path, recipe(own={"Lift": str(shipped)}))
    policies.check([own])
    assert "-own-" in policies.frames_path(own, "Lift").stem
    without = TrainedPolicies(tmp_path, recipe())
    with pytest.raises(ValueError, match=r"--own-backbone Lift=FOLDER.*asked for by own of augm"):
        without.check([own])


def recipe(**others: Any) -> Recipe:
    one = {"Lift": 1}
    return Recipe({"Lift": 2}, one, one, "bc", conditions.Level(), 1, **others)


def test_training_seeds_can_be_named_by_task():
    settings = robustness.parse(["--work", "work", "--tasks", "Lift,Stack:1"])
    assert sizes.study_of(settings).tasks == {"Lift": 3, "Stack": 1}


def test_a_policy_that_is_not_trained_has_no_seeds_and_no_augmentation(tmp_path):
    settings = robustness.parse(["--work", str(tmp_path), "--policy", "vinn"])
    assert robustness.study_of(settings).tasks == {"Lift": 1, "Stack": 1}
    with pytest.raises(ValueError, match=r"vinn is not trained.*as srm would.*--conditions"):
        robustness.main(
            ["--work", str(tmp_path), "--policy", "vinn", "--miniature", "--conditions", "raw,srm"]
        )
    assert not list(tmp_path.iterdir())


def test_the_screening_chooses_on_dev_and_the_table_is_made_on_test():
    assert (sizes.SCREEN.split, sizes.FULL.split) == ("dev", "test")


def test_what_moves_and_milder_changes_are_played_apart():
    assert not sizes.study_of(robustness.parse(["--work", "work"])).apart
    assert sizes.study_of(robustness.parse(["--work", "work", "--apart"])).apart
    for cell in sizes.APART:
        cell.check()
    assert [cell.name for cell in sizes.APART] == [
        *("lighting-3", "texture-3", "colour-3", "background-3"),
        *("appearance-3", "camera-4", "distractors-4"),
    ]


def test_a_backbone_that_is_missing_is_named_at_the_start(tmp_path, monkeypatch):
    other = conditions.ConditionSpec("other", "no-such-backbone", "no-such-backbone")
    monkeypatch.setitem(conditions.CONDITIONS, "other", other)
    with pytest.raises(ValueError, match=r"unknown backbone.*asked for by other.*--conditions"):
        robustness.main(["--work", str(tmp_path), "--miniature", "--conditions", "raw,other"])
    assert not list(tmp_path.iterdir())


def test_the_full_table_needs_a_screening(tmp_path):
    with pytest.raises(FileNotFoundError, match="run it with --screen first"):
        robustness.main(["--work", str(tmp_path)])


def test_the_whole_in_little(tmp_path, monkeypatch):
    pytest.importorskip("robosuite")
    settings = ["--work", tmp_path / "work", "--miniature", "--results", tmp_path / "results"]
    settings = [str(part) for part in [*settings, "--num-envs", 1]]
    monkeypatch.setattr(sys, "argv", ["run.py", *settings])
    monkeypatch.delitem(sys.modules, robustness.__name__)
    runpy.run_module("experiments.robustness.run", run_name="__main__")  # as `python -m` does
    content = json.loads((tmp_path / "results" / "robustness-miniature.json").read_text())
    names = list(robustness.MINIATURE_CONDITIONS)
    assert [condition["name"] for condition in content["conditions"]] == names
    assert [(r["cell"], r["condition"]) for r in content["records"]] == [
        (cell, name) for cell in ("clean", "lighting-4") for name in names
    ]
    assert {tuple(record["seeds"]) for record in content["records"]} == {
        tuple(content["records"][0]["seeds"])
    }
    env_kwargs = content["settings"]["env_kwargs"]["stemob/Lift-v0"]
    assert (env_kwargs["horizon"], env_kwargs["size"]) == (8, 48)
    steps = 8 // content["settings"]["chunk"]
    assert all(record["lengths"] == [steps] for record in content["records"])
    assert content["benchmark"]["backbone_knew_task"] == {"Lift": True}
    assert set(content["about"]) == set(names)
    assert content["about"]["embedded"]["control"] == "raw"
    assert content["about"]["random_conv"]["literature"]
    plain = ("raw", "random_conv", "random appearance")
    assert content["summary"]["reference"] == content["reference"]
    assert content["reference"] in plain
    page = (tmp_path / "results" / "robustness-miniature.html").read_text()
    assert all(name in page for name in names)
    assert str(tmp_path) not in json.dumps(content)
    assert str(tmp_path) not in page
    trained = list((tmp_path / "work" / "policies").rglob("policy.safetensors"))
    assert len(trained) == 5  # the one with the stem at test time only shares the raw policy

    again = robustness.main(settings)  # nothing is made or played again
    assert again.content["records"] == content["records"]


def test_every_kind_of_condition_is_in_the_miniature():
    chosen = conditions.choose_conditions(robustness.MINIATURE_CONDITIONS)
    kinds = {
        "nothing": lambda spec: spec == conditions.ConditionSpec("raw"),
        "stem": lambda spec: spec.train_stem == spec.test_stem == conditions.STEM,
        "canonical stem": lambda spec: spec.train_stem == conditions.CANONICAL,
        "stem in the test only": lambda spec: spec.test_stem and not spec.train_stem,
        "augmentation": lambda spec: spec.augment != "none" and not spec.augmented,
        "appearance": lambda spec: spec.appearance is not None,
        "augmented demonstrations": lambda spec: spec.augmented,
    }
    for name, kind in kinds.items():
        assert any(kind(spec) for spec in chosen), name
