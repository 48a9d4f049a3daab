import numpy as np
import pytest
import torch

from stemob_wrappers.training.repaint import Repainter


@pytest.fixture(scope="module")
def states():
    """A dark square on a plain light table, the same under a red light."""
    nominal = torch.full((32, 3, 48, 48), 0.8)
    nominal[:, :, 20:28, 20:28] = -0.8
    seen = nominal.clone()
    seen[:, 1:] = -1.0
    return seen, nominal


def test_the_same_generator_paints_the_same_and_another_one_differently(states):
    painter = Repainter(0.7)
    a, b, c = (painter(states[0], states[1], np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.min() >= -1
    assert a.max() <= 1


def test_a_share_of_none_changes_nothing(states):
    painted = Repainter(0.0)(states[0], states[1], np.random.default_rng(0))
    torch.testing.assert_close(painted, states[0])


def test_textures_lie_on_the_surface_and_spare_the_object(states, monkeypatch):
    monkeypatch.setattr("stemob_wrappers.training.repaint.EVERYWHERE", 0.0)
    monkeypatch.setattr(
        "stemob_wrappers.training.repaint._draw_light",
        lambda rng, count, size: torch.ones(count, 3, size, size),
    )
    seen, nominal = states
    painted = Repainter(1.0)(seen, nominal, np.random.default_rng(0))
    torch.testing.assert_close(painted[:, :, 20:28, 20:28], seen[:, :, 20:28, 20:28])
    changed = (painted - seen).abs().amax((1, 2, 3))
    assert (changed > 0.1).all()
    contrast = painted[:, :, :16].std((2, 3)).mean(1)
    assert (contrast > 0.02).float().mean() > 0.6, "textures, not one colour"


def test_light_makes_darker_and_brighter(states):
    seen, nominal = states
    painter = Repainter(1.0)
    brightness = torch.stack(
        [painter(seen, nominal, np.random.default_rng(s)).mean((1, 2, 3)) for s in range(4)]
    )
    assert brightness.std() > 0.1
