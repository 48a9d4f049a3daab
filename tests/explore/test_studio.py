"""The frames of a setting: the same whichever way one came to them, and of what was named alone."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from robomimic_files import make_file

from stemob_wrappers.config import StemConfig
from stemob_wrappers.explore.env_player import EnvPlayer
from stemob_wrappers.explore.shown import Change, EnvFrame, Picture, RecordedFrame, Shown
from stemob_wrappers.explore.studio import Studio
from stemob_wrappers.perturb.corruptions import CORRUPTIONS
from stemob_wrappers.stem.pipeline import StemPipeline

CHEETAH = EnvFrame("HalfCheetah-v5", size=32)
SLOW = pytest.mark.slow
FRAME = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    path = make_file(tmp_path_factory.mktemp("data") / "demos.hdf5", demos=1)
    with Studio((CHEETAH,), path) as made:
        yield made


def raws(studio, source, change=None):
    return [look.raw for look in studio.see(Shown(source, change)).looks]


def test_a_state_is_the_same_whichever_way_one_came_to_it(studio):
    def at(steps, seed=0):
        return EnvFrame(CHEETAH.env_id, 32, seed=seed, steps=steps)

    change = Change("light_colour", 5)
    with Studio((CHEETAH,)) as fresh:
        direct = raws(fresh, at(4), change)
    for source, other in ((at(1), None), (at(3), change), (at(2, seed=1), change), (at(6), None)):
        raws(studio, source, other)
    wandered = raws(studio, at(4), change)
    np.testing.assert_array_equal(wandered, direct)
    assert np.abs(direct[0].astype(int) - direct[1]).mean() > 1  # the second look is another one
    assert (raws(studio, at(5))[0] != direct[0]).any()


@pytest.mark.parametrize(
    ("env", "factor"),
    [
        (EnvFrame(CHEETAH.env_id, 32, "track", steps=2), "floor_texture"),
        pytest.param(EnvFrame("stemob/Lift-v0", 32, steps=2), "table_texture", marks=SLOW),
    ],
)
def test_a_look_is_the_same_whichever_look_was_shown_before(env, factor):
    looks = [
        *(Change(factor, 4, draw) for draw in (0, 1, 2)),
        Change("light_colour", 5),
        Change(factor, 1),
    ]
    with Studio((env,)) as studio:
        wandered = [raws(studio, env, change) for change in looks]
    for change, found in zip(looks, wandered, strict=True):
        with Studio((env,)) as fresh:
            np.testing.assert_array_equal(found, raws(fresh, env, change))
    seconds = [second.tobytes() for _, second in wandered]
    assert len({wandered[0][0].tobytes(), *seconds}) == 1 + len(looks)  # all of them differ


def test_a_player_shows_the_scene_as_it_is_after_a_change_of_it():
    env = EnvFrame(CHEETAH.env_id, 32, "track")
    player = EnvPlayer(env)
    before = player.frame(seed=0, steps=1)
    for change in (Change("floor_texture", 5), Change("table_texture", 5)):
        with contextlib.suppress(ValueError):  # it has no table
            player.frame(seed=0, steps=1, change=change)
    np.testing.assert_array_equal(player.frame(seed=0, steps=1), before)
    player.close()


def test_the_looks_of_a_scene_are_listed_for_envs_and_those_of_pictures_for_all(studio):
    assert {"light_colour", "gamma"} <= set(studio.factors(CHEETAH))
    assert "table_texture" not in studio.factors(CHEETAH)  # it has no table
    assert studio.factors(None) == list(CORRUPTIONS)
    picture = studio.add_picture(Path("a.png"), FRAME)
    with pytest.raises(ValueError, match="changes the scene"):
        studio.see(Shown(picture, Change("light_colour")))


@pytest.mark.parametrize("noise", ["frame", "fixed", "episode", "fresh"])
def test_a_stem_frame_is_that_of_a_pipeline_each_time_it_is_shown(studio, noise):
    picture = studio.add_picture(Path("a.png"), FRAME)
    config = StemConfig(inversion_steps=9, noise=noise, seed=3)
    for _ in range(2):
        (look,) = studio.see(Shown(picture, None, config)).looks
        np.testing.assert_array_equal(look.stem, StemPipeline(config)(FRAME[None])[0])


def test_distances_grow_with_severity_and_shrink_to_nothing_without_a_change(studio):
    picture = studio.add_picture(Path("a.png"), FRAME)
    config = StemConfig(noise="fixed")

    def distances(severity):
        return studio.see(Shown(picture, Change("brightness", severity), config)).distances

    slight, severe = distances(1), distances(5)
    for name in ("raw", "stem", "latents", "noised"):
        assert 0 < getattr(slight, name) < getattr(severe, name)
    # One field for both: what is left of the distance is the share of the signal.
    share = np.sqrt(studio.see(Shown(picture, None, config)).alpha_bar)
    assert severe.noised == pytest.approx(severe.latents * share, rel=1e-3)
    assert studio.see(Shown(picture, None, config)).distances is None


def test_a_frame_that_is_shrunk_is_shown_at_the_size_of_its_stem(studio):
    picture = studio.add_picture(Path("a.png"), FRAME)
    config = StemConfig(resize=(16, 16), output="small")
    (look,) = studio.see(Shown(picture, None, config)).looks
    assert look.raw.shape == look.stem.shape == (13, 16, 3)


def test_nothing_is_made_or_read_that_was_not_named(studio, tmp_path):
    other = make_file(tmp_path / "other.hdf5", demos=1)
    for source in (
        EnvFrame("Hopper-v5"),
        RecordedFrame(other, "demo_0 eye_image"),
        Picture(Path("/etc/passwd")),
    ):
        with pytest.raises(ValueError, match=r"not named|no longer kept"):
            studio.see(Shown(source))


def test_an_episode_that_ends_is_said(studio):
    with Studio((EnvFrame("Hopper-v5", 32),)) as hopper:
        with pytest.raises(ValueError, match=r"ends after \d+ steps; received 900: take fewer"):
            hopper.see(Shown(EnvFrame("Hopper-v5", 32, steps=900)))
        assert hopper.see(Shown(EnvFrame("Hopper-v5", 32, steps=3)))


def test_threads_may_ask_at_once(studio):
    sources = [EnvFrame(CHEETAH.env_id, 32, seed=seed) for seed in range(4)]
    expected = [raws(studio, source)[0] for source in sources]
    with Studio((CHEETAH,)) as other, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda source: raws(other, source)[0], sources))
    np.testing.assert_array_equal(found, expected)
