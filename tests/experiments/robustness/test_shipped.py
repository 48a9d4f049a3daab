"""The policies that ship, and what they say of themselves."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import stemob_wrappers
from experiments.imitation import bc

POLICIES = Path(bc.__file__).parents[1] / "policies"


@pytest.mark.parametrize(
    ("name", "backbone"),
    [
        ("stack-raw", None),
        ("stack-stem", "embedded-canonical"),
        ("lift-stem", "embedded-canonical"),
    ],
)
def test_a_policy_that_ships_loads_and_knows_what_it_learned_from(name, backbone):
    policy = bc.load(POLICIES / f"{name}.safetensors")
    if backbone is None:
        assert policy.learned_from is None
    else:
        pipeline = stemob_wrappers.StemPipeline({"backbone": backbone}, cache=False)
        assert policy.learned_from is not None
        assert policy.learned_from["fingerprint"] == pipeline.fingerprint
    weights = load_file(POLICIES / f"{name}.safetensors").values()
    assert all(np.isfinite(tensor).all() for tensor in weights)


def test_they_are_small():
    assert sum(path.stat().st_size for path in POLICIES.iterdir()) < 10e6
