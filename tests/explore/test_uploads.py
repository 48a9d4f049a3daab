"""Pictures that a browser sends: exact when they are sound, one clear line when they are not."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from stemob_wrappers.explore.uploads import read_upload
from stemob_wrappers.pictures import encode_image

FRAME = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
PNG = encode_image(FRAME)


def data_url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def test_a_sound_picture_arrives_as_it_was():
    np.testing.assert_array_equal(read_upload("a.png", data_url(PNG)), FRAME)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (data_url(b"hello"), "no PNG, JPEG, BMP or WebP"),
        (data_url(PNG[: len(PNG) // 2]), "cannot be read"),
        (data_url(b""), "no PNG, JPEG, BMP or WebP"),
        ("data:image/png;base64,????", "did not arrive whole"),
        ("/etc/passwd", "no PNG"),
        ("file:///etc/passwd", "no PNG"),
    ],
)
def test_a_broken_one_is_one_line_that_names_it(sent, said):
    with pytest.raises(ValueError, match=said) as caught:
        read_upload("holiday.png", sent)
    message = str(caught.value)
    assert message.startswith("holiday.png")
    assert "\n" not in message
    assert "/tmp" not in message
