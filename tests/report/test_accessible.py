"""Every kind of page: what can be told without a browser, and what axe-core and Chromium find."""

from pathlib import Path

import numpy as np
import pytest
from accessible import contrast, faults, pale
from evaluated import CONDITIONS, make_results

from stemob_wrappers.doctor.examine import Comparison, Examination
from stemob_wrappers.doctor.findings import Finding
from stemob_wrappers.doctor.sheet import write_sheet as write_doctor_sheet
from stemob_wrappers.levels.report import write_study_page
from stemob_wrappers.levels.rows import Row
from stemob_wrappers.pictures import write_image
from stemob_wrappers.report.contact_sheet import write_contact_sheet
from stemob_wrappers.report.page import write_report
from stemob_wrappers.report.sheet import Picture, write_sheet

PAGES = ("report", "contact sheet", "sheet", "levels", "doctor")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("pages")
    frame = np.zeros((8, 8, 3), np.uint8)
    for name in ("grid", "levels"):
        write_image(folder / f"{name}.png", np.zeros((80, 900, 3), np.uint8))
    picture = Picture("Frames", "Rows are factors.", "Frames of each factor", folder / "grid.png")
    cells = ("clean", "lighting-2", "lighting-4", "texture-4")
    results = make_results(folder, cells=cells, conditions={**CONDITIONS, "a-very-long" * 5: 0.5})
    moments = [(f"demo_{number} [0]", frame, frame, frame) for number in range(2)]
    examined = Examination(
        Path("lift.hdf5"),
        [
            Finding("flipped", "agentview_image", "upside down"),
            Finding("missing model file", "file", "no model_file in demo_0"),
        ],
        [Comparison(key, 40.0, moments) for key in ("agentview_image", "eye_image")],
        {"env": "Lift", "recorded with": "not said"},
    )
    rows = [Row("raw", clean_cm=5.1), Row("stem", "embedded", "ddpm", "frame", 5, 0.917)]
    return {
        "levels": write_study_page(rows, folder),
        "doctor": write_doctor_sheet(examined, folder / "doctor.html"),
        "report": write_report(results, folder),
        "contact sheet": write_contact_sheet(
            folder / "pairs.html", [("demo_0", frame, frame)], title="a", made_by={"seed": 0}
        ),
        "sheet": write_sheet(
            folder / "sheet.html",
            title="What colour does",
            summary="One state.",
            pictures=[picture],
            heading="Distances",
            columns=["factor", *(f"severity {severity}" for severity in range(1, 6))],
            rows=[["robot_colour", *"12345"], ["shininess_of_all_materials", *"00000"]],
            flags=["No visible effect: shininess_of_all_materials."],
        ),
    }


@pytest.mark.parametrize("name", PAGES)
def test_no_fault_can_be_told_from_the_page(pages, name):
    assert faults(pages[name].read_text()) == []


def test_faults_are_found(pages):
    text = pages["sheet"].read_text()
    harms = {
        'lang="en"': "",
        "<h2>": "<h4>",
        'alt="': 'title="',
        ' scope="col"': "",
        'tabindex="0" ': "",
        "color: #56626f": "color: #9aa5b1",
        "width=device-width": "width=1200",
        "<main>": "<div>",
    }
    for part, harm in harms.items():
        assert part in text
        assert len(faults(text.replace(part, harm))) >= 1, part


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert pale("<style>a { color: #777777; background: #ffffff; }</style>")


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_on_a_desktop_and_on_a_phone(pages, browser, name):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for width in (1280, 390):
        context = browser.new_context(viewport={"width": width, "height": 800}, bypass_csp=True)
        page = context.new_page()
        page.goto(pages[name].as_uri())
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} pixels wide on {width}"
        for detail in page.locator("details").all():
            detail.evaluate("part => part.open = true")
        found = axe.run(page)
        assert found.response["violations"] == [], found.generate_report()
        context.close()


@pytest.mark.slow
def test_a_phone_shows_every_figure(pages, browser):
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(pages["report"].as_uri())
    cells = page.locator("table.figures").first.locator("td:not(.nil)").all()
    boxes = [cell.bounding_box() for cell in cells]
    assert len(boxes) > 10
    assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
