import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.config import METHODS, NOISE_POLICIES, StemConfig, as_config

CONFIGS = st.integers(1, 1000).flatmap(
    lambda num_steps: st.builds(
        StemConfig,
        backbone=st.sampled_from(["embedded", "org/model", "a folder/with spaces", "ünï"]),
        method=st.sampled_from(METHODS),
        num_steps=st.just(num_steps),
        inversion_steps=st.integers(0, num_steps),
        noise=st.sampled_from(NOISE_POLICIES),
        seed=st.integers(0, 2**63 - 1),
        codec=st.sampled_from([None, "org/codec"]),
        revision=st.sampled_from([None, "main"]),
        resolution=st.none() | st.integers(8, 4096),
    )
)


@settings(max_examples=30, deadline=None)
@given(CONFIGS)
def test_json_gives_the_config_back(config):
    text = config.to_json()
    assert StemConfig.from_json(text) == config
    assert hash(StemConfig.from_json(text)) == hash(config)
    assert "\n" not in text
    assert json.loads(text) == config.to_dict()


def test_it_is_frozen():
    with pytest.raises(AttributeError):
        StemConfig().seed = 1  # type: ignore[misc]


def test_as_config_takes_a_config_a_dict_or_nothing():
    config = StemConfig(seed=3)
    assert as_config(None) == StemConfig()
    assert as_config(config) is config
    assert as_config(config.to_dict()) == config
    with pytest.raises(TypeError, match="must be a StemConfig, a dict or None, received 3"):
        as_config(3)  # type: ignore[arg-type]


def test_replace_checks_the_result():
    assert StemConfig().replace(inversion_steps=50).inversion_steps == 50
    with pytest.raises(ValueError, match="inversion_steps"):
        StemConfig().replace(inversion_steps=51)


def test_more_inversion_steps_than_steps_is_refused():
    with pytest.raises(ValueError, match=r"must not exceed num_steps \(10\), received 11"):
        StemConfig(num_steps=10, inversion_steps=11)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("method", "ddmp", "unknown method 'ddmp'; did you mean 'ddpm'"),
        ("noise", "frames", "unknown noise 'frames'; did you mean 'frame'"),
        ("backbone", "  ", "backbone must not be empty"),
        ("codec", "", "codec must not be empty"),
        ("num_steps", 0, "num_steps must lie in 1 to 1000, received 0"),
        ("num_steps", 1001, "num_steps must lie in 1 to 1000"),
        ("inversion_steps", -1, "inversion_steps must lie in 0 to"),
        ("seed", -1, "seed must lie in 0 to"),
        ("seed", 2**63, "seed must lie in 0 to"),
        ("resolution", 7, "resolution must lie in 8 to 4096, received 7"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_what_can(field, value, message):
    with pytest.raises(ValueError, match=message):
        StemConfig(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("backbone", None),
        ("codec", 1),
        ("revision", 1.0),
        ("num_steps", "50"),
        ("inversion_steps", 5.0),
        ("seed", True),
        ("resolution", np.float32(64)),
    ],
)
def test_a_wrong_type_is_a_type_error_that_names_the_field(field, value):
    with pytest.raises(TypeError, match=f"{field} must be .*received"):
        StemConfig(**{field: value})


@pytest.mark.parametrize(
    "build",
    [
        lambda: StemConfig.from_dict({"inversion_step": 5}),
        lambda: StemConfig.from_json('{"inversion_step": 5}'),
        lambda: StemConfig().replace(inversion_step=5),
        lambda: as_config({"inversion_step": 5}),
    ],
    ids=["from_dict", "from_json", "replace", "as_config"],
)
def test_an_unknown_field_is_an_error_with_the_nearest_name(build):
    with pytest.raises(ValueError, match="'inversion_step'; did you mean 'inversion_steps'"):
        build()


@pytest.mark.parametrize("text", ["", "[1]", "{", "null", "3"])
def test_json_that_is_no_object_is_refused(text):
    with pytest.raises(ValueError, match="a StemConfig is read from a JSON object, received"):
        StemConfig.from_json(text)
