import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from stemob_wrappers.backbones.card import expected_psnr, psnr, warn_if_unknown
from stemob_wrappers.backbones.folder import EMBEDDED, WEIGHTS
from stemob_wrappers.config import StemConfig
from stemob_wrappers.diffusion.schedule import SD_SCHEDULE, NoiseSchedule
from stemob_wrappers.stem.pipeline import StemPipeline

SCHEDULE = NoiseSchedule.from_config(SD_SCHEDULE)
FIGURES = {"84": {"0": 30.0, "5": 26.0, "15": 20.0}, "128": {"0": 40.0, "5": 36.0}}


def test_psnr_is_its_formula():
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    np.testing.assert_allclose(psnr(frames, frames + np.uint8(5)), 20 * np.log10(255 / 5))


def test_the_card_is_read_at_its_own_points_and_between_them():
    for steps, stated in FIGURES["84"].items():
        level = SCHEDULE.alpha_bar(SCHEDULE.timestep(50, int(steps)))
        assert expected_psnr(FIGURES, SCHEDULE, 84, level) == pytest.approx(stated)
    level = SCHEDULE.alpha_bar(SCHEDULE.timestep(50, 10))
    between = expected_psnr(FIGURES, SCHEDULE, 84, level)
    assert between is not None
    assert 20.0 < between < 26.0
    assert expected_psnr(FIGURES, SCHEDULE, 120, 1.0) == 40.0


def test_beyond_the_levels_of_the_card_nothing_is_expected():
    assert expected_psnr(FIGURES, SCHEDULE, 84, SCHEDULE.alpha_bar(999)) is None
    warn_if_unknown(1.0, None, "embedded")


def test_only_a_large_error_warns_and_names_the_command():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_unknown(24.0, 30.0, "embedded")
    with pytest.warns(UserWarning, match="stemob train-backbone"):
        warn_if_unknown(15.0, 30.0, "embedded")


@pytest.fixture
def proud_backbone(tmp_path: Path) -> str:
    """The embedded backbone with a card that promises more than it can keep."""
    folder = shutil.copytree(WEIGHTS / EMBEDDED["embedded"], tmp_path / "proud")
    index = json.loads((folder / "model_index.json").read_text())
    index["held_out_psnr_db"] = {"84": {"0": 90.0, "25": 90.0}}
    (folder / "model_index.json").write_text(json.dumps(index))
    return str(folder)


def test_a_pipeline_warns_once_and_runs_the_codec_no_more_often(proud_backbone):
    pipeline = StemPipeline(StemConfig(backbone=proud_backbone), cache=False, engine="torch")
    runs = []
    decoder = pipeline.inverter.backbone.codec.module.decoder
    decoder.register_forward_hook(lambda *_: runs.append(1))
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    with pytest.warns(UserWarning, match="does not know frames like these"):
        stems = pipeline(frames)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline(frames)
    assert len(runs) == 2
    assert pipeline.stats.psnr_db == pytest.approx(psnr(frames, stems).mean())
