"""Chooses the OpenGL backend before any test imports MuJoCo, and says which it is."""

from stemob_wrappers.scene.gl import ensure_gl

BACKEND = ensure_gl()


def pytest_report_header() -> str:
    return f"MuJoCo OpenGL backend: {BACKEND}"
