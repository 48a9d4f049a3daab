"""``stemob perturb``: a picture of every cell and the numbers behind it."""

import json
from pathlib import Path

import pytest
from accessible import faults
from typer.testing import CliRunner

from stemob_wrappers.cli.app import app
from stemob_wrappers.cli.preview import preview, without_effect
from stemob_wrappers.pictures import read_image

ROOM = Path(__file__).parents[2] / "examples" / "pendulum_room.xml"


def test_the_command_writes_pictures_and_numbers(tmp_path):
    arguments = ["perturb", "--env", "HalfCheetah-v5", "--suite", "colour", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, [*arguments, "--size", "32"], catch_exceptions=False)
    assert result.exit_code == 0
    numbers = json.loads((tmp_path / "HalfCheetah-v5-colour.json").read_text())
    assert list(numbers["left_out"]) == ["object_colour"]
    factors = ["robot_colour", "shininess", "reflectance"]
    assert [cell["factor"] for cell in numbers["cells"][::5]] == factors
    for cell in numbers["cells"]:
        assert cell[cell["factor"]]["severity"] == cell["severity"]
    assert max(cell["distance"] for cell in numbers["cells"]) > 0
    page = (tmp_path / "HalfCheetah-v5-colour.html").read_text()
    assert faults(page) == []
    unseen = numbers["no_visible_effect"]
    assert unseen == without_effect(numbers["cells"])
    assert ("No visible effect in this env and camera: " in page) == bool(unseen)
    assert "Left out: object_colour, which needs" in page
    picture = read_image(tmp_path / "HalfCheetah-v5-colour.png")
    assert picture.shape[1] > 6 * 2 * 32
    assert picture.shape[0] > 3 * 32


def test_the_env_gets_its_arguments(tmp_path):
    arguments = ["perturb", "--env", "InvertedPendulum-v5", "--suite", "background", "--size", "32"]
    widths = []
    for more in ({}, {"size": 24}):  # which goes before --size
        in_room = json.dumps({"xml_file": str(ROOM)} | more)
        call = [*arguments, "--env-kwargs", in_room, "--out", str(tmp_path)]
        result = CliRunner().invoke(app, call)
        assert result.exit_code == 0, result.output
        numbers = json.loads((tmp_path / "InvertedPendulum-v5-background.json").read_text())
        assert "floor_texture" in {cell["factor"] for cell in numbers["cells"]}
        widths.append(read_image(tmp_path / "InvertedPendulum-v5-background.png").shape[1])
    assert widths[1] == widths[0] - 6 * 2 * 8
    bare = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    assert "has nothing that the suite 'background' changes" in bare.output + str(bare.exception)


def test_an_unknown_suite_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match="did you mean texture"):
        preview("HalfCheetah-v5", "textures", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_factor_is_flagged_that_changes_nothing_at_any_severity():
    distances = {"a": [0.0, 0.1, 0.4], "b": [0.0, 0.2, 3.0]}
    cells = [
        {"factor": factor, "severity": severity, "distance": distance}
        for factor, found in distances.items()
        for severity, distance in enumerate(found, 1)
    ]
    assert without_effect(cells) == ["a"]
