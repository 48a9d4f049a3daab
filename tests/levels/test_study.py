"""Levels by any name, and the study of levels on planted frames and on a real env."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
import tiny_models
import tiny_pipelines
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from stemob_wrappers import StemConfig
from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.cli.app import app
from stemob_wrappers.diffusion.schedule import SD_SCHEDULE, NoiseSchedule
from stemob_wrappers.levels import at_level, level_table, read_schedule, study
from stemob_wrappers.levels.probe import probe_errors
from stemob_wrappers.levels.report import print_study, report_study, write_plot
from stemob_wrappers.levels.retrieval import own_state_share
from stemob_wrappers.levels.rows import Row, read_rows, recommend, write_rows
from stemob_wrappers.levels.study import Study, convergence, run_study
from stemob_wrappers.pictures import read_image, write_image
from stemob_wrappers.renders.pairs import Pairs, read_pairs, render_pairs
from stemob_wrappers.stem.pipeline import StemPipeline

SD = NoiseSchedule.from_config(SD_SCHEDULE)


# --- one level, four names -----------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(num_steps=st.integers(1, 200), data=st.data())
def test_every_name_of_a_level_leads_back_to_it(num_steps, data):
    config = StemConfig(num_steps=num_steps, inversion_steps=0)
    level = data.draw(st.sampled_from(level_table(SD, num_steps)))
    assert at_level(config, alpha_bar=level.alpha_bar).inversion_steps == level.inversion_steps
    assert at_level(config, snr=level.snr).inversion_steps == level.inversion_steps
    if level.timestep is not None:
        assert at_level(config, timestep=level.timestep).inversion_steps == level.inversion_steps


def test_the_known_levels_of_stable_diffusion():
    table = level_table(SD, 50)
    assert [table[n].timestep for n in (0, 5, 10, 15, 25)] == [None, 81, 181, 281, 481]
    assert table[15].alpha_bar == pytest.approx(0.6224, abs=1e-4)
    assert table[15].snr == pytest.approx(0.6224 / 0.3776, rel=1e-3)
    assert table[0].snr == np.inf


def test_at_level_keeps_the_other_fields():
    config = StemConfig(seed=7, noise="fixed", num_steps=20)
    assert at_level(config, timestep=281) == config.replace(inversion_steps=7)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({}, "name one of timestep, alpha_bar and snr"),
        ({"timestep": 1, "snr": 1.0}, "name one of"),
        ({"timestep": 1000}, "0 to 999"),
        ({"alpha_bar": 1.5}, "alpha_bar must lie"),
        ({"snr": 0.0}, "snr must be above 0"),
    ],
)
def test_bad_levels_are_refused(named, said):
    with pytest.raises(ValueError, match=said):
        at_level(StemConfig(), **named)


def test_a_schedule_is_read_without_weights(tmp_path):
    folder = tmp_path / "model"
    tiny_pipelines.save_scheduler(folder / "scheduler", {"set_alpha_to_one": True})
    assert read_schedule(str(folder)).describe() == SD.describe()
    assert read_schedule("embedded").describe() == load_backbone("embedded").schedule.describe()
    assert at_level(StemConfig(backbone=str(folder)), timestep=281).inversion_steps == 15
    done = CliRunner().invoke(app, ["levels", "--table", "--backbone", str(folder)])
    assert done.exit_code == 0
    assert "0.6224" in done.output
    with pytest.raises(ValueError, match="unknown backbone 'embeded'"):
        read_schedule("embeded")


# --- measures ------------------------------------------------------------------------------------


def test_convergence_is_zero_without_and_grows_with_appearance():
    states = np.random.default_rng(0).normal(size=(1, 8, 5))
    looks = np.array([0.0, 1.0, 2.0])[:, None, None]
    assert convergence(np.repeat(states, 3, axis=0)) == 0
    values = [convergence(states + strength * looks) for strength in (0.1, 0.5, 1.0)]
    assert values[0] < values[1] < values[2]
    assert values[1] == pytest.approx(5 * values[0])
    by_hand = np.array([[0.0, 2.0], [1.0, 3.0], [5.0, 7.0]])[:, :, None]
    assert convergence(by_hand) == ((1 + 5) / 2) / 2


def planted_pairs(states=160, size=32, seed=0):
    """A bright square to be found on a plain ground, whose colour is the look."""
    rng = np.random.default_rng(seed)
    places = rng.integers(0, size - 8, (states, 2))
    frames = np.empty((2, states, size, size, 3), np.uint8)
    for look, ground in enumerate(([60, 60, 60], [20, 120, 90])):
        for index, (row, column) in enumerate(places):
            frames[look, index] = ground
            frames[look, index, row : row + 8, column : column + 8] = 230
    points = np.zeros((states, 1, 3), np.float32)
    points[:, 0, :2] = places / 100
    return Pairs(frames, points, ("end effector",))


def errors_of(pairs, seed=0, steps=100):
    train, points = pairs.frames[0, :-32], pairs.points[:-32]
    tests = [look[-32:] for look in pairs.frames]
    return probe_errors(train, points, tests, pairs.points[-32:], seed=seed, steps=steps)


def test_the_probe_reads_what_is_there_and_is_lost_when_it_is_not():
    pairs = planted_pairs()
    clean, other = errors_of(pairs).mean(axis=1)
    points = np.array(pairs.points)
    chance = np.linalg.norm(points - points.mean(0), axis=2).mean() * 100
    assert clean < 0.4 * chance
    assert other > clean
    blank = Pairs(np.zeros_like(pairs.frames), pairs.points, pairs.names)
    assert errors_of(blank).min() > 0.8 * chance


def test_the_probe_is_repeatable():
    pairs = planted_pairs(states=64)
    np.testing.assert_array_equal(errors_of(pairs, steps=5), errors_of(pairs, steps=5))
    assert not np.array_equal(errors_of(pairs, steps=5), errors_of(pairs, seed=1, steps=5))


def test_the_probe_learns_from_augmented_images_in_the_unit_range():
    pairs = planted_pairs(states=64)
    train, points = pairs.frames[0], np.array(pairs.points)
    ranges = []

    def fade(images, generator):
        ranges.append((float(images.min()), float(images.max())))
        return torch.full_like(images, 0.5)

    settings = {"tests": [train], "test_points": points, "seed": 0, "steps": 5}
    plain, unchanged, faded = (
        probe_errors(train, points, **settings, augment=augment)
        for augment in (None, lambda images, _: images.clone(), fade)
    )
    np.testing.assert_allclose(unchanged, plain, rtol=1e-3)
    assert abs(faded - plain).max() > 1e-3
    assert len(ranges) == 5
    assert all(0 <= low < high <= 1 for low, high in ranges)


def test_the_recommended_row_is_best_perturbed_among_those_hardly_worse_clean():
    rows = [
        Row("raw", clean_cm=0.5, perturbed_cm=1.0),
        Row("stem", inversion_steps=0, clean_cm=1.0, perturbed_cm=9.0),
        Row("stem", inversion_steps=10, clean_cm=1.3, perturbed_cm=6.0),
        Row("stem", inversion_steps=25, clean_cm=3.0, perturbed_cm=5.0),
    ]
    best = recommend(rows)
    assert best is not None
    assert best.inversion_steps == 10
    assert recommend([Row("stem", pixels=0.5)]) is None


def test_a_table_survives_the_file(tmp_path):
    rows = [Row("raw", clean_cm=1.25), Row("stem", "embedded", "ddpm", "frame", 5, 0.9, 1.0)]
    write_rows(rows, tmp_path / "t.csv")
    assert [str(row) for row in read_rows(tmp_path / "t.csv")] == [str(row) for row in rows]


# --- studies -------------------------------------------------------------------------------------


def small_study(**changes):
    settings = {"steps": (0, 5), "probe_steps": 3, "probe_seeds": 2, "noises": ("frame", "fixed")}
    return Study("planted", **{**settings, **changes})


@pytest.fixture
def planted(monkeypatch):
    """Planted frames in place of a rendered env."""
    monkeypatch.setattr(study, "render_pairs", lambda env_id, **_: planted_pairs(states=40))


def test_a_study_is_resumed_where_it_stopped(planted, tmp_path, monkeypatch):
    measured = []
    real = study._measure

    def measure(pipeline, *rest):
        if len(measured) == 1:
            raise KeyboardInterrupt
        measured.append(pipeline.config)
        return real(pipeline, *rest)

    monkeypatch.setattr(study, "_measure", measure)
    with pytest.raises(KeyboardInterrupt):
        run_study(small_study(), tmp_path)
    monkeypatch.setattr(study, "_measure", lambda *a: measured.append(a[0].config) or real(*a))
    rows = run_study(small_study(), tmp_path)
    assert len(measured) == len(set(measured)) == 3
    assert [row.name for row in rows] == ["raw", "raw + jitter", "raw + random conv", *["stem"] * 3]
    assert [(row.inversion_steps, row.noise) for row in rows[3:]] == [
        *((0, "frame"), (5, "frame"), (5, "fixed"))
    ]
    assert str(run_study(small_study(), tmp_path)) == str(rows)
    with (tmp_path / "levels.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 6
    assert {float(line["own_state_chance"]) for line in lines} == {1 / 40}
    assert float(lines[0]["own_state"]) == own_state_share(planted_pairs(states=40).frames)
    write_plot(rows, tmp_path / "levels.png")
    print_study(rows)


def test_augmented_probes_have_rows_of_their_own_in_the_same_table(planted, tmp_path):
    plain = run_study(small_study(), tmp_path)
    both = run_study(dataclasses.replace(small_study(), augmented=True), tmp_path)
    endings = ("", " + jitter", " + random conv")
    assert [row.name for row in both] == [
        *(f"raw{ending}" for ending in endings),
        *(f"stem{ending}" for _ in range(3) for ending in endings),
    ]
    assert [str(row) for row in both if row.name in ("raw", "stem")] == [
        str(row) for row in plain if row.name in ("raw", "stem")
    ]
    print_study(both)


def test_rows_of_other_weights_under_the_same_name_are_measured_again(planted, tmp_path):
    backbone = tmp_path / "backbone"
    settings = {"backbones": (str(backbone),), "steps": (5,), "noises": ("frame",)}
    rows = []
    for seed in (0, 0, 1):
        shutil.rmtree(backbone, ignore_errors=True)
        tiny_models.save_stem_backbone(backbone, seed)
        rows.append(run_study(small_study(**settings), tmp_path / "out")[-1])
    assert str(rows[0]) == str(rows[1])
    assert rows[0].pixels != rows[2].pixels
    assert rows[0].fingerprint != rows[2].fingerprint


def test_the_settings_stand_beside_the_table(planted, tmp_path):
    run_study(small_study(steps=(0,), severity=2, seed=7), tmp_path)
    told = json.loads((tmp_path / "levels.json").read_text())
    expected = {"env_id": "planted", "severity": 2, "seed": 7, "states": 600, "appearances": 5}
    expected |= {"size": 84, "probe_steps": 3, "probe_seeds": 2, "steps": [0], "split": "dev"}
    assert expected.items() <= told.items()
    assert told["frames"] == [2, 40, 32, 32, 3]
    assert told["versions"]["torch"] == version("torch")


def write_folders(folder, pairs):
    for look, name in enumerate(("clean", "perturbed")):
        (folder / name).mkdir(exist_ok=True)
        for index, frame in enumerate(pairs.frames[look]):
            write_image(folder / name / f"{index}.png", frame)


def test_images_are_found_however_their_suffix_is_written(tmp_path):
    write_folders(tmp_path, planted_pairs(states=6))
    for path in (tmp_path / "clean").iterdir():
        path.rename(path.with_suffix(".PNG"))
    for path in (tmp_path / "perturbed").iterdir():
        path.rename(path.with_suffix(".PNG"))
    assert read_pairs(tmp_path / "clean", tmp_path / "perturbed").frames.shape[1] == 6


def test_without_the_packages_that_plots_need_nothing_begins(planted, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"a report needs matplotlib.*stemob_wrappers\[report\]"):
        report_study(small_study(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_changed_images_in_a_folder_are_measured_again(tmp_path):
    folders = (str(tmp_path / "clean"), str(tmp_path / "perturbed"))
    inputs = Study(folders=folders, steps=(0,))
    write_folders(tmp_path, planted_pairs(states=6))
    rows = [run_study(inputs, tmp_path / "out") for _ in range(2)]
    write_folders(tmp_path, planted_pairs(states=6, seed=1))
    rows.append(run_study(inputs, tmp_path / "out"))
    assert str(rows[0]) == str(rows[1])
    assert json.loads((tmp_path / "out" / "levels.json").read_text())["severity"] is None
    assert rows[0][0].pixels != rows[2][0].pixels


def test_two_folders_give_convergence_and_no_recommendation(tmp_path):
    pairs = planted_pairs(states=6)
    write_folders(tmp_path, pairs)
    found = read_pairs(tmp_path / "clean", tmp_path / "perturbed")
    np.testing.assert_array_equal(found.frames, pairs.frames)
    arguments = ["levels", "--clean", str(tmp_path / "clean"), "--steps", "0,5"]
    arguments += ["--perturbed", str(tmp_path / "perturbed"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "No level is recommended" in done.output
    assert {path.name for path in (tmp_path / "out").glob("*.*")} >= {
        *("levels.csv", "levels.png", "grid.png")
    }
    (tmp_path / "clean" / "0.png").rename(tmp_path / "clean" / "other.png")
    with pytest.raises(ValueError, match=r"images of the same names.*other\.png"):
        read_pairs(tmp_path / "clean", tmp_path / "perturbed")


def test_a_study_needs_an_env_or_two_folders():
    with pytest.raises(ValueError, match=r"name either an env id, or a folder .* received neither"):
        Study()
    with pytest.raises(ValueError, match=r"name either an env id, or a folder .* received both"):
        Study("planted", folders=("a", "b"))


@pytest.mark.parametrize("env", [(), ("--env", "HalfCheetah-v5")])
@pytest.mark.parametrize("folder", ["--clean", "--perturbed"])
def test_one_folder_alone_is_refused(env, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("stemob_wrappers.levels.report.report_study", lambda *_: None)
    done = CliRunner().invoke(app, ["levels", *env, folder, str(tmp_path)])
    assert done.exit_code != 0
    assert "--clean and --perturbed" in done.output


def test_the_table_is_printed():
    done = CliRunner().invoke(app, ["levels", "--table"])
    assert done.exit_code == 0
    assert "281" in done.output
    assert "0.6224" in done.output


def test_rendered_pairs_are_one_layout_under_several_looks():
    pairs = render_pairs("HalfCheetah-v5", states=4, appearances=3, size=32)
    again = render_pairs("HalfCheetah-v5", states=4, appearances=3, size=32)
    np.testing.assert_array_equal(pairs.frames, again.frames)
    assert pairs.points is not None
    assert pairs.points.shape[0] == 4
    assert pairs.points.std(axis=0).max() > 0
    looks = pairs.frames.astype(int)
    assert np.abs(looks[1] - looks[0]).mean() > 1
    assert np.abs(looks[2] - looks[1]).mean() > 1


def test_the_backend_is_chosen_before_anything_renders():
    code = (
        "import os; from stemob_wrappers.renders.pairs import render_pairs;"
        "render_pairs('InvertedPendulum-v5', states=4, appearances=2, size=16);"
        "print(os.environ['MUJOCO_GL'])"
    )
    bare = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    done = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] in ("egl", "osmesa", "glfw")


@pytest.mark.slow
@pytest.mark.parametrize("env_id", ["stemob/Lift-v0", "stemob_wrappers:stemob/Lift-v0"])
def test_rendered_pairs_of_a_robot_have_its_hand_and_objects(env_id):
    pairs = render_pairs(env_id, states=4, appearances=2)
    assert pairs.names == ("end effector", "cube_main")
    assert pairs.points is not None
    assert pairs.points[:, 0].std() > 0.01


@pytest.mark.parametrize("resolution", [24, "model"])
def test_an_image_is_inverted_at_any_setting_of_a_level(resolution, tmp_path):
    codec = str(tmp_path / "codec")
    tiny_models.kl_autoencoder(1).save_pretrained(codec)
    backbone = tiny_pipelines.save_stable_diffusion(tmp_path / "model")
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    write_image(tmp_path / "a.png", image)
    arguments = ["invert", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--noise", "fixed"]
    arguments += ["--backbone", backbone, "--codec", codec]
    done = CliRunner().invoke(app, [*arguments, "--resolution", str(resolution)])
    assert done.exit_code == 0, done.output
    config = StemConfig(backbone, noise="fixed", codec=codec, resolution=resolution)
    expected = StemPipeline(config, cache=False)(image[None])[0]
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), expected)
    refused = CliRunner().invoke(app, [*arguments, "--resolution", "big"])
    assert refused.exit_code == 2
    assert "'model'" in refused.output
