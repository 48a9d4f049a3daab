"""A picture that the browser sent inside its request: decoded and checked like any other file."""

from __future__ import annotations

import base64
import binascii
import tempfile
from pathlib import Path

from stemob_wrappers.extras import needs

with needs("images"):
    from PIL import UnidentifiedImageError

from stemob_wrappers.pictures import Image, read_image


def read_upload(name: str, data_url: str) -> Image:
    """Read a picture from a data URL as RGB, uint8 [H, W, 3].

    Args:
        name: of the file that was chosen, for messages.
        data_url: ``data:image/png;base64,…``, as a browser's FileReader makes it.

    Raises:
        ValueError: no picture that can be read, a damaged or a too large one, or one that RGB of 8
            bits cannot hold.

    Example:
        >>> read_upload("a.txt", "data:text/plain;base64,aGVsbG8=")
        Traceback (most recent call last):
        ValueError: a.txt cannot be read (it is no PNG, JPEG, BMP or WebP); choose another picture
    """
    try:
        content = base64.b64decode(data_url.partition(";base64,")[2], validate=True)
    except binascii.Error as error:
        raise ValueError(f"{name} did not arrive whole; choose it again") from error
    with tempfile.TemporaryDirectory(prefix="stemob-") as folder:
        path = Path(folder, "picture")
        path.write_bytes(content)
        try:
            return read_image(path)
        except ValueError as error:
            why = error.__cause__ or error
            if isinstance(why, UnidentifiedImageError):
                why = "it is no PNG, JPEG, BMP or WebP"
            raise ValueError(f"{name} cannot be read ({why}); choose another picture") from error
