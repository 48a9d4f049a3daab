import json

from typer.testing import CliRunner

from stemob_wrappers.cli.app import app

SHORT = ["--seconds", "0.01"]


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["bench", *SHORT, *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_every_engine_and_situation_is_measured():
    found = json.loads(run("--json", "--size", "32"))
    assert {row["engine"] for row in found["rows"]} == {"onnxruntime", "torch"}
    assert {row["frames"] for row in found["rows"]} == {1, 2, 8}
    assert {1, 2} <= {row["threads"] for row in found["rows"]}
    for row in found["rows"]:
        assert 0 < row["p50 ms"] <= row["p95 ms"]
        assert row["of a 20 Hz tick"] == row["p50 ms"] / 50
    assert found["machine"]["matmul_gflops"] > 0
    assert found["start"].keys() == {"onnxruntime", "torch"}
    assert found["start"]["onnxruntime"]["memory_mib"] < found["start"]["torch"]["memory_mib"]


def test_an_env_counts_its_cameras_and_its_own_step():
    text = run("fakes:fake/Frame-v0", "--backbone", "embedded-canonical")
    assert "fakes:fake/Frame-v0 itself" in text
    assert "of a 20 Hz" in text
    assert "one step" in text
