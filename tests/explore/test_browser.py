"""The page in headless Chromium: every control changes what it should, and nothing else happens."""

from __future__ import annotations

from urllib.parse import urlparse

import numpy as np
import pytest
from explorer_page import served
from robomimic_files import make_file

from stemob_wrappers.explore.copied import as_command
from stemob_wrappers.explore.shown import EnvFrame, Shown
from stemob_wrappers.pictures import encode_image

pytest.importorskip("gradio", reason="the page needs the extra 'app'")
pytestmark = pytest.mark.slow

ENV = "HalfCheetah-v5"
SOURCES = "() => [...document.querySelectorAll('#panel img')].map(image => image.src)"
# A slider is moved as dragging does: its value, and the event of an input.
MOVE = """([label, value]) => {
  const input = document.querySelector(`input[type=range][aria-label*="${label}"]`);
  input.value = value;
  input.dispatchEvent(new Event('input', { bubbles: true }));
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    data = make_file(tmp_path_factory.mktemp("data") / "demos.hdf5", demos=2)
    with served(ENV, 48, data) as address:
        yield address


class Visit:
    """The page, with whatever it says in the console and asks of other machines."""

    def __init__(self, browser, address, width=1280):
        self.said, self.elsewhere = [], []
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.page.set_default_timeout(120_000)  # however busy the machine is
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", self._note)
        self.page.goto(address)
        self.page.wait_for_selector("#panel img")

    def _listen(self, message):
        if message.type in ("error", "warning"):
            self.said.append(message.text)

    def _note(self, request):
        host = urlparse(request.url).hostname
        if host not in (None, "127.0.0.1"):
            self.elsewhere.append(request.url)

    def pictures(self):
        return self.page.evaluate(SOURCES)

    def after(self, act, count=None):
        """The pictures once an act has changed them, and there are so many."""
        before = self.pictures()
        act()
        self.page.wait_for_function(
            f"([before, count]) => {{ const now = ({SOURCES})();"
            " return now.join() !== before.join() && (count === null || now.length === count); }",
            arg=[before, count],
        )
        return self.pictures()

    def move(self, label, value):
        return self.after(lambda: self.page.evaluate(MOVE, [label, value]))

    def choose(self, label, option, count=None):
        def act():
            self.page.get_by_label(label, exact=True).click()
            self.page.get_by_role("option", name=option, exact=True).click()

        return self.after(act, count)


@pytest.fixture
def visit(browser, address):
    visit = Visit(browser, address)
    yield visit
    assert visit.said == []
    assert visit.elsewhere == []
    visit.page.close()


RAW, STEM, LOST, OTHER_RAW, OTHER_STEM, OTHER_LOST, RAW_APART, STEM_APART = range(8)
STEMS = {STEM, LOST, OTHER_STEM, OTHER_LOST, STEM_APART}
OTHERS = {OTHER_RAW, OTHER_STEM, OTHER_LOST, RAW_APART, STEM_APART}


def changed(before, after):
    assert len(before) == len(after) == 8
    return {place for place in range(8) if before[place] != after[place]}


def test_each_slider_changes_the_pictures_that_it_should(visit):
    for label, value, expected in (
        ("Level", 20, STEMS),
        ("Noise seed", 7, STEMS),
        ("Severity", 1, OTHERS),
        ("Draw", 3, OTHERS),
        ("Reset seed", 4, set(range(8))),
        ("Random steps", 9, set(range(8))),
    ):
        before = visit.pictures()
        assert changed(before, visit.move(label, value)) == expected, label
    assert "Level 20 of 50" in visit.page.inner_text("#panel")


def test_each_choice_changes_the_pictures_that_it_should(visit):
    before = visit.pictures()
    visit.move("Level", 9)
    after = visit.after(lambda: visit.page.get_by_label("embedded-canonical").check())
    assert changed(before, after) == STEMS
    for label, option in (("Method", "ddim"), ("Method", "ddpm"), ("Noise", "fixed")):
        before = visit.pictures()
        assert changed(before, visit.choose(label, option)) == STEMS
    assert len(visit.choose("Change of look", "Nothing", 3)) == 3
    assert len(visit.choose("Change of look", "gamma", 8)) == 8


def test_steps_and_resets(visit):
    start = visit.pictures()
    step = visit.page.get_by_role("button", name="Step")
    visit.after(step.click)
    second = visit.after(step.click)
    assert changed(start, second) == set(range(8))
    assert "--steps 2" in visit.page.inner_text("#as-command")
    assert visit.after(visit.page.get_by_role("button", name="Reset", exact=True).click) == start


def test_a_demo_is_shown_frame_by_frame(visit):
    visit.after(lambda: visit.page.get_by_label("demos.hdf5").check(), 3)
    visit.move("Frame", 3)
    command = visit.page.inner_text("#as-command")
    assert "--demo 'demo_0 agentview_image' --frame 3" in command
    visit.choose("Episode and camera", "demo_1 eye_image")
    assert "--demo 'demo_1 eye_image' --save" in visit.page.inner_text("#as-command")


def test_a_sound_picture_is_shown_and_a_broken_one_is_one_line(visit):
    page = visit.page
    page.get_by_label("A picture").check()
    page.wait_for_selector("#panel [role=alert]")
    chooser = page.locator("#upload input")
    frame = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    sound = encode_image(frame)

    def upload(name, content):
        file = {"name": name, "mimeType": "image/png", "buffer": content}
        return lambda: chooser.set_input_files(files=[file])

    first = visit.after(upload("a.png", sound), 3)
    assert "read_image(Path('a.png'))" in page.inner_text("#as-python")
    upload("broken.png", sound[:200])()
    page.wait_for_selector("#said [role=alert]")
    said = page.inner_text("#said")
    assert said.startswith("broken.png cannot be read")
    assert "Traceback" not in page.content()
    assert visit.pictures() == first  # the picture before it is still there


def test_what_is_shown_is_what_can_be_copied(visit, browser):
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.choose("Change of look", "Nothing", 3)
    visit.page.get_by_role("button", name="Copy as command").click()
    visit.page.wait_for_selector("button:has-text('Copied')")
    copied = visit.page.evaluate("navigator.clipboard.readText()")
    assert copied == as_command(Shown(EnvFrame(ENV, 48)))


def test_it_fits_a_phone_and_axe_finds_nothing(browser, address):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for width in (1280, 390):
        visit = Visit(browser, address, width)
        wide = visit.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width
        found = axe.run(visit.page)
        assert found.response["violations"] == [], found.generate_report()
        visit.page.close()


def test_on_a_phone_the_pictures_stay_in_sight(browser, address):
    visit = Visit(browser, address, 390)
    last = visit.page.get_by_label("Inverted at")
    last.evaluate("control => control.scrollIntoView({ block: 'end' })")
    box = visit.page.locator("#panel img").first.bounding_box()
    assert box
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= last.bounding_box()["y"]
    visit.page.close()
