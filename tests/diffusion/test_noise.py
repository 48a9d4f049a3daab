import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.diffusion.noise import draw_noise, noise_key

KEYS = st.lists(st.binary(max_size=40), min_size=1, max_size=6)


GOLDEN = [1.489069, 0.3798327, 0.8183637, -0.01548422, 0.4136374, -0.1864885]
GOLDEN_OTHER = [-0.1305165, 0.9569902, -0.1891152]


def test_the_first_values_never_change():
    """Frames in data sets and caches depend on these bits: a change here makes all of them stale.

    The last places may differ with the processor's log, cosine and sine.
    """
    field = draw_noise(0, [b"key"], (2, 3))[0]
    np.testing.assert_allclose(field.ravel(), GOLDEN, rtol=1e-5)
    other = draw_noise(2**63 - 1, [b""], (3,))[0]
    np.testing.assert_allclose(other, GOLDEN_OTHER, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(KEYS, st.integers(0, 2**63 - 1), st.randoms())
def test_a_field_depends_on_seed_and_key_and_not_on_its_batch(keys, seed, random):
    shape = (3, 5, 5)
    batch = draw_noise(seed, keys, shape)
    assert batch.shape == (len(keys), *shape)
    assert batch.dtype == np.float32
    order = list(range(len(keys)))
    random.shuffle(order)
    shuffled = draw_noise(seed, [keys[row] for row in order], shape)
    np.testing.assert_array_equal(shuffled, batch[order])
    for row, key in enumerate(keys):
        np.testing.assert_array_equal(draw_noise(seed, [key], shape)[0], batch[row])


def test_other_seeds_and_other_keys_give_unrelated_fields():
    shape = (8, 22, 22)
    fields = [
        draw_noise(seed, [key], shape)[0].ravel()
        for seed, key in itertools.product([0, 1, 2**63 - 1], [b"", b"a", b"b", b"a" * 100])
    ]
    correlations = np.corrcoef(fields) - np.eye(len(fields))
    assert np.abs(correlations).max() < 0.08  # five standard errors of 3872 samples


def test_fields_are_standard_normal():
    draws = draw_noise(7, [b"%d" % key for key in range(200)], (8, 22, 22))
    count = draws.size  # 774,400: bounds below are five standard errors
    assert abs(draws.mean()) < 5 / count**0.5
    assert abs(draws.var() - 1) < 5 * (2 / count) ** 0.5
    assert abs((draws**3).mean()) < 5 * (15 / count) ** 0.5
    assert abs((draws**4).mean() - 3) < 5 * (96 / count) ** 0.5
    assert abs((draws < 1).mean() - 0.841345) < 5 * (0.1335 / count) ** 0.5
    assert np.isfinite(draws).all()
    assert 4.5 < np.abs(draws).max() < 6.0


def test_neighbours_and_halves_of_a_field_are_uncorrelated():
    """The two normals of a Box-Muller pair lie half a field apart."""
    draws = draw_noise(3, [b"%d" % key for key in range(50)], (4000,))
    bound = 5 / (50 * 2000) ** 0.5
    assert abs((draws[:, :2000] * draws[:, 2000:]).mean()) < bound
    assert abs((draws[:, :-1] * draws[:, 1:]).mean()) < bound
    assert abs((draws[:, :2000] ** 2 * draws[:, 2000:] ** 2).mean() - 1) < 8 * bound


@pytest.mark.parametrize("shape", [(1,), (3,), (1, 3, 3), (4, 2, 2)])
def test_odd_and_even_sizes_are_filled(shape):
    field = draw_noise(0, [b"a"], shape)
    assert field.shape == (1, *shape)
    assert len(np.unique(field)) == field.size


def test_the_policies_name_what_they_are_keyed_by():
    def key(policy, frame=b"f", episode=b"e", count=0):
        return noise_key(policy, frame=frame, episode=episode, count=count)

    changes = {"frame": {"frame": b"g"}, "episode": {"episode": b"g"}, "fresh": {"count": 1}}
    for policy in ("frame", "fixed", "episode", "fresh"):
        for name, change in changes.items():
            # Fresh draws are counted within an episode.
            matters = name == policy or (policy, name) == ("fresh", "episode")
            assert (key(policy) != key(policy, **change)) == matters, (policy, name)
    same_bytes = {
        noise_key(policy, frame=b"", episode=b"", count=0)
        for policy in ("frame", "fixed", "episode", "fresh")
    }
    assert len(same_bytes) == 4


def test_an_unknown_policy_is_refused_with_the_ones_there_are():
    with pytest.raises(ValueError, match="'always'; choose frame, fixed, episode or fresh"):
        noise_key("always", frame=b"", episode=b"", count=0)
