import pytest
import torch

from stemob_wrappers.training.losses import alignment_loss, contrast_weights, picture_loss


def test_alignment_is_the_distance_across_appearances_over_that_across_states():
    latents = torch.zeros(2, 4, 1, 2, 2)
    latents[:, 1::2] += 3.0  # the other state of each scene
    assert alignment_loss(latents).item() == pytest.approx(0, abs=1e-4)
    latents[1] += 1.0
    assert alignment_loss(latents).item() == pytest.approx(1 / 3)
    assert alignment_loss(10 * latents).item() == pytest.approx(1 / 3), "scale does not count"
    equal = torch.zeros(2, 2, 1, 2, 2, requires_grad=True)
    alignment_loss(equal).backward()
    assert equal.grad is not None
    assert equal.grad.isfinite().all()


def test_a_small_object_weighs_more_than_what_lies_around_it():
    images = torch.zeros(1, 3, 64, 64)
    images[..., 30:34, 30:34] = 1.0
    weights = contrast_weights(images)[0, 0]
    assert weights[31, 31] > 10
    assert weights[5, 5] == 1
    assert weights[20:44, 20:44].max() == weights[30:34, 30:34].max()


def test_picture_loss_counts_edges_and_weights():
    image, wrong = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    assert picture_loss(image, image) == 0
    wrong[..., 4] = 1.0
    flat = torch.full_like(wrong, wrong.mean().item())
    assert picture_loss(wrong, image) > picture_loss(flat, image)
    weights = torch.ones(1, 1, 8, 8)
    weights[..., 4] = 0.0
    assert picture_loss(wrong, image, weights) == 0
