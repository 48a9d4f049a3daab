"""The documentation site in a browser: axe-core finds nothing, and it fits a phone."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ("index", "start", "evaluate", "perturbations", "reference/wrappers")
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages of docs/, without the gallery, which takes long to draw."""
    pytest.importorskip("mkdocstrings")
    pytest.importorskip("material")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    settings = {"site_dir": str(folder), "hooks": [], "strict": False}
    build(load_config(str(ROOT / "mkdocs.yml"), **settings))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_on_a_desktop_and_on_a_phone(site, browser, name):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    # The theme's own: code blocks have a landmark of one name each; tables that scroll have no
    # tabindex, but browsers let the keyboard in.
    without = ("landmark-unique", "scrollable-region-focusable")
    options = {"rules": {rule: {"enabled": False} for rule in without}}
    for width, scheme in zip((1280, 390), SCHEMES, strict=True):
        page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
        page.goto((site / f"{name}.html").as_uri())
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} pixels wide on {width}"
        assert "{ ." not in page.inner_text("main"), "attributes of Markdown are shown as text"
        found = axe.run(page, options=options)
        assert found.response["violations"] == [], found.generate_report()
        page.close()
