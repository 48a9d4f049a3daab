"""The explorer's page, served for a test; ``from explorer_page import served``."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from stemob_wrappers.config import StemConfig
from stemob_wrappers.explore.shown import Change, EnvFrame, Shown
from stemob_wrappers.explore.studio import Studio


@contextlib.contextmanager
def served(env_id: str, size: int, data: Path | None = None) -> Iterator[str]:
    """Serve a page that shows an env under two looks; gives its address."""
    from stemob_wrappers.explore.blocks import build_page
    from stemob_wrappers.explore.serve import serve

    env = EnvFrame(env_id, size)
    with Studio((env,), data) as studio:
        page = build_page(studio, Shown(env, Change("light_colour", 4)), StemConfig())
        try:
            yield serve(page, port=free_port())
        finally:
            page.close(verbose=False)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
