"""Stem frames in a data loader."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import StemBatchTransform, StemTransform
from stemob_wrappers.stem.pipeline import StemPipeline

FRAME = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


class Frames(Dataset[Any]):
    """The same frame four times."""

    def __init__(self, transform: StemTransform) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return self.transform({"image": FRAME, "state": index})


def epochs(transform: StemTransform, workers: int, count: int = 2) -> np.ndarray:
    torch.manual_seed(0)
    context: Any = "fork" if workers else None
    loader = DataLoader(
        Frames(transform), batch_size=1, num_workers=workers, multiprocessing_context=context
    )
    return np.concatenate([batch["image"].numpy() for _ in range(count) for batch in loader])


@pytest.mark.parametrize("workers", [0, 2])
def test_noise_is_fresh_in_every_epoch_and_worker(workers: int) -> None:
    frames = epochs(StemTransform(keys=["image"]), workers)
    assert len(np.unique(frames.reshape(8, -1), axis=0)) == 8
    again = epochs(StemTransform(keys=["image"]), workers)
    np.testing.assert_array_equal(frames, again)


def test_other_policies_give_the_pipelines_frames() -> None:
    config = StemConfig(inversion_steps=5)
    expected = StemPipeline(config)(FRAME[None])[0]
    transform = pickle.loads(pickle.dumps(StemTransform(config)))
    np.testing.assert_array_equal(transform(FRAME), expected)
    tensor = torch.from_numpy(FRAME).permute(2, 0, 1)
    for image in (tensor, tensor.float() / 255):
        stem = transform(image)
        assert (stem.shape, stem.dtype) == (image.shape, image.dtype)
    np.testing.assert_array_equal(transform(tensor).permute(1, 2, 0).numpy(), expected)
    batch = transform(np.stack([FRAME, FRAME])[None])
    np.testing.assert_array_equal(batch[0, 1], expected)


def test_the_sample_is_not_changed() -> None:
    sample = {"image": FRAME.copy(), "state": 1}
    result = StemTransform(keys=["image"])(sample)
    np.testing.assert_array_equal(sample["image"], FRAME)
    assert result["state"] == 1
    with pytest.raises(ValueError, match="StemTransform\\(keys"):
        StemTransform()(sample)


def test_whole_batches_become_what_their_items_would() -> None:
    config = StemConfig(inversion_steps=5)
    expected = StemPipeline(config)(FRAME[None])[0]
    batch = torch.from_numpy(np.stack([FRAME, FRAME // 2])).permute(0, 3, 1, 2)
    windows = torch.stack([batch, batch.flip(0)], dim=1)  # [B, T, 3, H, W]
    transform = StemBatchTransform(config, keys=["image"])
    for images in (windows, windows.float() / 255):
        stems = transform({"image": images, "state": 1})["image"]
        assert (stems.shape, stems.dtype) == (images.shape, images.dtype)
        assert stems.device.type == transform.pipeline.device.partition(":")[0]
    stems = transform({"image": windows})["image"]
    np.testing.assert_array_equal(stems[0, 0].permute(1, 2, 0).numpy(), expected)
    assert torch.equal(stems[0, 1], stems[1, 0])
    with pytest.raises(TypeError, match="a batch holds tensors"):
        transform({"image": FRAME[None]})


def test_batches_have_fresh_noise_in_every_epoch_and_the_same_again() -> None:
    images = torch.from_numpy(np.stack([FRAME] * 4))

    def twice() -> torch.Tensor:
        torch.manual_seed(0)
        transform = StemBatchTransform()
        return torch.cat([transform(images), transform(images)])

    frames = twice()
    assert len(torch.unique(frames.flatten(1), dim=0)) == 8
    assert torch.equal(frames, twice())


@pytest.mark.gpu
def test_batches_stay_on_the_device() -> None:
    stems = StemBatchTransform(device="cuda")(torch.from_numpy(FRAME[None]))
    assert stems.device.type == "cuda"
