"""Chooses the OpenGL backend before any test imports MuJoCo, and says which it is."""

import shutil

import pytest

from stemob_wrappers.scene.gl import ensure_gl

BACKEND = ensure_gl()


def pytest_report_header() -> str:
    return f"MuJoCo OpenGL backend: {BACKEND}"


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window, or a reason to skip."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()
