"""The whole of an evaluation: pairs, files, going on where it stopped, errors that lose nothing."""

import contextlib
import copy
import csv
import dataclasses
import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pointing
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from typer.testing import CliRunner

from stemob_wrappers import StemConfig
from stemob_wrappers.cli.app import app
from stemob_wrappers.evaluation import Condition, Record, Results, evaluate, jobs, rollouts
from stemob_wrappers.evaluation.cells import choose_cells, make_env
from stemob_wrappers.perturb.suites import Cell
from stemob_wrappers.report.page import write_report
from stemob_wrappers.report.statistics import summarise

ENV = "pointing:fake/Pointing-v0"
STEM = StemConfig(inversion_steps=3)
CONDITIONS = [
    Condition("raw", "pointing:look"),
    Condition("again", "pointing:look"),
    Condition("stem", "pointing:look", STEM),
    Condition("guess", "pointing:guess", training_seed=1),
]
SETTINGS = {"suite": "corruption", "severities": (5,), "episodes": 4, "split": "dev", "num_envs": 1}


def run(conditions, out, env: str | list[str] = ENV, **changes):
    return evaluate(conditions, env, out=out, **{**SETTINGS, **changes})


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run(CONDITIONS, tmp_path_factory.mktemp("whole"))


def without_timings(content):
    """The results without what differs from run to run."""
    content = copy.deepcopy(content)
    del content["provenance"]
    for part in (content["records"], content["summary"]["rows"]):
        for row in part:
            del row["ms_per_step"]
    return content


def of_condition(results, name):
    """What happened to a condition, by cell."""
    return {
        record.cell: (record.seeds, record.successes, record.lengths, record.returns)
        for record in results.records
        if record.condition == name
    }


def test_conditions_of_one_policy_have_identical_episodes(results):
    assert of_condition(results, "raw") == of_condition(results, "again")
    assert of_condition(results, "raw") != of_condition(results, "guess")


def test_every_condition_and_cell_has_the_same_reset_seeds(results):
    assert len({tuple(record.seeds) for record in results.records}) == 1
    assert [(r.cell, r.condition, r.training_seed) for r in results.records] == [
        (cell, condition.name, condition.training_seed)
        for cell in ("clean", "corruption-5")
        for condition in CONDITIONS
    ]


def test_results_are_read_again(results):
    assert Results.read(results.folder).content == results.content
    assert all(record.ms_per_step["env"] > 0 for record in results.records)
    assert results.summary["reference"] == "raw"


def test_the_table_has_one_row_an_episode(results):
    with open(results.folder / "results.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * len(results.records)
    first = results.records[0]
    assert rows[1]["success"] == str(first.successes[1])
    assert rows[1]["reset_seed"] == str(first.seeds[1])


def test_pictures_of_every_cell_raw_and_stem(results):
    frames = results.content["frames"]
    assert [(frame["cell"], frame["camera"], frame["label"]) for frame in frames] == [
        (cell, "front_image", label)
        for cell in ("clean", "corruption-5")
        for label in ("raw", "stem")
    ]
    pictures = [(results.folder / frame["path"]).read_bytes() for frame in frames]
    assert len(set(pictures)) == len(pictures)


def test_cells_apart_are_played_and_count_in_no_mean(tmp_path):
    settings = {"suite": [Cell("corruption", 5)], "apart": [Cell("corruption", 2)], "episodes": 2}
    found = run([CONDITIONS[3]], tmp_path, **settings).content
    assert found["cells"] == ["clean", "corruption-5", "corruption-2"]
    assert found["apart"] == ["corruption-2"]
    (row,) = found["summary"]["rows"]
    assert row["gen"]["value"] == row["cells"]["corruption-5"]["rate"]
    page = write_report(found, tmp_path).read_text()
    assert "of which corruption-2 are left out" in page


def test_a_run_that_was_cut_short_goes_on(results, tmp_path, monkeypatch):
    played = []
    real = rollouts.play

    class Cut(pointing.Watcher):
        """Acts like the function of the module, and fails at its third episode."""

        def __call__(self, observation):
            if len(self.masks) == 3:
                raise KeyboardInterrupt
            return super().__call__(observation)

    monkeypatch.setattr(pointing, "guess", Cut(pointing.guess))
    with pytest.raises(KeyboardInterrupt):
        run(CONDITIONS, tmp_path)
    assert not (tmp_path / "results.json").exists()
    assert len(list(tmp_path.rglob("cells/*/*/*.json"))) == 3  # of the clean cell
    monkeypatch.undo()
    monkeypatch.setattr(
        "stemob_wrappers.evaluation.jobs.play",
        lambda *args, **kwargs: played.append(1) or real(*args, **kwargs),
    )
    resumed = run(CONDITIONS, tmp_path)
    assert len(played) == 5
    assert without_timings(resumed.content) == without_timings(results.content)


def test_a_finished_run_plays_nothing_and_a_torn_cell_is_played_again(results, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(results.folder, folder)
    again = run(CONDITIONS, folder)
    assert again.content["records"] == results.content["records"]  # timings too: nothing was played
    torn = next(folder.glob("cells/*/corruption-5/stem-*.json"))
    torn.write_text(torn.read_text()[:100])
    mended = run(CONDITIONS, folder)
    assert without_timings(mended.content) == without_timings(results.content)


def test_other_settings_do_not_take_or_harm_finished_cells(results, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(results.folder, folder)
    before = {path: path.read_bytes() for path in folder.rglob("cells/*/*/*.json")}
    other = run(CONDITIONS[:1], folder, seed=1, suite=[])
    assert other.records[0].seeds != results.records[0].seeds
    changed = [Condition("raw", "pointing:guess")]
    assert (
        of_condition(run(changed, folder, suite=[]), "raw")["clean"]
        == (of_condition(results, "guess")["clean"])
    )
    assert all(path.read_bytes() == content for path, content in before.items())


def test_more_episodes_play_those_that_are_missing_alone(results, tmp_path, monkeypatch):
    fewer = run(CONDITIONS, tmp_path, episodes=SETTINGS["episodes"] - 1)
    played: list[int] = []
    real = jobs.play
    monkeypatch.setattr(
        jobs, "play", lambda *args, **kw: played.append(len(args[2])) or real(*args, **kw)
    )
    more = run(CONDITIONS, tmp_path)
    assert set(played) == {1}
    assert without_timings(more.content) == without_timings(results.content)
    played.clear()
    again = run(CONDITIONS, tmp_path, episodes=SETTINGS["episodes"] - 1)
    assert not played
    assert without_timings(again.content) == without_timings(fewer.content)


POLICY = """
import numpy as np
from {beside} import VALUE

def act(observation):
    return np.full((len(observation["proprio"]), 2), {factor} * VALUE, np.float32)

def load(path):
    return act
"""


@pytest.fixture
def policy(tmp_path, monkeypatch):
    """A file with a policy, and one beside it that it imports."""
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / f"policy_{tmp_path.name}.py"
    path.write_text(POLICY.format(beside=f"beside_{tmp_path.name}", factor=1))
    (tmp_path / f"beside_{tmp_path.name}.py").write_text("VALUE = 0.10\n")
    return path


@pytest.fixture
def tiny(monkeypatch):
    """Evaluate an episode of one cell in this process, with rewards that tell actions apart."""

    @contextlib.contextmanager
    def open_here(env_id, env_kwargs, cell, split, num_envs, chunk):
        make = functools.partial(make_env, env_id, env_kwargs, cell, split, chunk)
        yield SyncVectorEnv([make] * num_envs, autoreset_mode=AutoresetMode.DISABLED)

    monkeypatch.setattr("stemob_wrappers.evaluation.jobs.open_vector_env", open_here)
    settings = {"suite": [], "episodes": 1, "env_kwargs": {"horizon": 3, "distance": True}}
    return lambda conditions, out, **changes: run(conditions, out, **settings, **changes)


def test_changed_code_is_played_again(policy, tiny, tmp_path):
    beside = tmp_path / f"beside_{tmp_path.name}.py"
    conditions = [Condition("file", f"{policy}:act"), Condition("module", f"{policy.stem}:act")]
    first = tiny(conditions, tmp_path / "out")
    again = tiny(conditions, tmp_path / "out")
    assert again.content["records"] == first.content["records"]  # timings too: nothing was played
    policy.write_text(policy.read_text().replace("1 * VALUE", "4 * VALUE"))
    second = tiny(conditions, tmp_path / "out")
    beside.write_text("VALUE = -.3\n")  # of the same size
    third = tiny(conditions, tmp_path / "out")
    played = [[record.returns for record in r.records] for r in (first, second, third)]
    assert all(file == module for file, module in played)
    assert len({str(returns) for returns in played}) == 3


def test_what_a_policy_depends_on_is_part_of_its_cells(policy, tiny, tmp_path, monkeypatch):
    played = []
    real = rollouts.play
    monkeypatch.setattr(
        "stemob_wrappers.evaluation.jobs.play",
        lambda *args, **kwargs: played.append(1) or real(*args, **kwargs),
    )
    named, loaded = tmp_path / "table.csv", tmp_path / "weights"
    named.write_text("1")
    loaded.write_text("1")
    conditions = [Condition("raw", f"{policy}:load:{loaded}")]
    for path, count in ((None, 1), (None, 1), (named, 2), (loaded, 3)):
        if path is not None:
            path.write_text("2")
        found = tiny(conditions, tmp_path / "out", depends=[named])
        assert len(played) == count
        assert found.content["settings"]["depends"] == [str(named)]
    with pytest.raises(FileNotFoundError, match="said to depend on"):
        tiny(conditions, tmp_path / "out", depends=[tmp_path / "gone"])


def test_a_policy_that_changes_in_the_middle_ends_the_run(policy, tiny, tmp_path, monkeypatch):
    real = rollouts.play

    def play_and_change(*args, **kwargs):
        policy.write_text(policy.read_text() + "# changed\n")
        return real(*args, **kwargs)

    monkeypatch.setattr("stemob_wrappers.evaluation.jobs.play", play_and_change)
    conditions = [Condition(name, f"{policy}:act") for name in ("one", "two")]
    with pytest.raises(ValueError, match="was changed while the evaluation ran") as caught:
        tiny(conditions, tmp_path / "out")
    assert "while condition 'two' played" in caught.value.__notes__[0]
    assert len(list((tmp_path / "out").rglob("cells/*/clean/*.json"))) == 1


def test_two_lambdas_of_one_name_are_two_policies(tiny, tmp_path):
    policies = (lambda o: pointing.np.zeros((1, 2)), lambda o: pointing.np.ones((1, 2)))
    returns = [tiny([Condition("raw", policy)], tmp_path).records[0].returns for policy in policies]
    assert returns[0] != returns[1]


def test_a_policy_whose_state_cannot_be_told_is_played_each_time(tiny, tmp_path):
    generator = pointing.np.random.default_rng(0)

    def draw(observation):
        return generator.uniform(-1, 1, (1, 2))

    for count in (1, 2):
        with pytest.warns(UserWarning, match="state of the policy of condition 'raw' cannot be"):
            tiny([Condition("raw", draw)], tmp_path)
        assert len(list(tmp_path.rglob("cells/*/clean/raw-*.json"))) == count


def test_without_the_packages_that_reports_need_nothing_begins(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"a report needs matplotlib.*stemob_wrappers\[report\]"):
        run(CONDITIONS, tmp_path)
    assert not list(tmp_path.iterdir())


def test_any_name_comes_to_a_report(tiny, tmp_path):
    names = ["$\\frac{$", "runs/" + 294 * "x", "<b>a</b>", "tab\t\udcff", "_hidden"]
    conditions = [Condition(name, "pointing:look") for name in names]
    found = tiny(conditions, tmp_path)
    assert tiny(conditions, tmp_path).content["records"] == found.content["records"]
    assert [record.condition for record in Results.read(tmp_path).records] == names
    page = write_report(found.content, tmp_path).read_text()
    assert names[1] in page
    assert "<b>a</b>" not in page.replace("Highest on perturbed scenes: <b>", "")


@pytest.mark.parametrize("name", ["robustness", "robustness-screen"])
def test_results_of_the_first_format_are_read(name, tmp_path):
    shipped = Path(__file__).parents[2] / "benchmarks" / "results" / f"{name}.json"
    text = shipped.read_text().replace('"condition":', '"arm":').replace('"conditions":', '"arms":')
    (tmp_path / "results.json").write_text(text.replace('"format": 2', '"format": 1'))
    found = Results.read(tmp_path)
    assert found.content["format"] == 2
    assert {record.condition for record in found.records} == {
        condition["name"] for condition in found.content["conditions"]
    }
    again = summarise(found.records, reference=found.content["reference"], resamples=10)
    assert [row["condition"] for row in again["rows"]] == [
        row["condition"] for row in found.summary["rows"]
    ]


def test_a_condition_for_one_env_only(tmp_path):
    pair = [ENV, "HalfCheetah-v5"]
    with pytest.raises(ValueError, match="no condition is for HalfCheetah-v5"):
        run([Condition("raw", "pointing:look", task=ENV)], tmp_path, pair)
    with pytest.raises(ValueError, match="which is not evaluated"):
        run([Condition("raw", "pointing:look", task="Hopper-v5")], tmp_path)


@pytest.mark.parametrize(
    ("conditions", "changes", "says"),
    [
        ([], {}, "at least one condition"),
        (CONDITIONS[:1] * 2, {}, "is there twice"),
        (CONDITIONS, {"reference": "rwa"}, "must be one of again, guess, raw, stem"),
        (CONDITIONS, {"num_envs": 0}, "num_envs must be 1 or more"),
        (CONDITIONS, {"chunk": 0}, "chunk must be 1 or more"),
        (CONDITIONS, {"episodes": 0}, "episodes 1 or more"),
        (CONDITIONS, {"split": "tset"}, "split must be one of"),
        (CONDITIONS, {"suite": "colors"}, "Unknown suite"),
        (CONDITIONS, {"severities": (6,)}, "severity"),
        (CONDITIONS, {"env_kwargs": {"fault": object}}, "plain JSON"),
        (CONDITIONS, {"env_kwargs": {ENV: {}, "horizon": 3}}, "received both: horizon"),
        (CONDITIONS, {"suite": "texture"}, "cannot be evaluated in the cell texture-5"),
        ([Condition("a", "pointing:lok")], {}, "no function 'lok'"),
        ([Condition("a", "pointing:look", StemConfig(backbone="embeded"))], {}, "unknown backbone"),
    ],
)
def test_errors_come_before_any_episode(conditions, changes, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        run(conditions, tmp_path, **changes)
    assert not list(tmp_path.rglob("cells/*/*/*.json"))


def test_an_error_in_the_middle_names_the_condition_and_what_to_do(tmp_path):
    conditions = [Condition("raw", "pointing:look"), Condition("flat", lambda observation: [0.0])]
    with pytest.raises(ValueError, match="actions of shape") as caught:
        run(conditions, tmp_path, suite=[])
    assert "while condition 'flat' played" in caught.value.__notes__[0]
    assert len(list(tmp_path.rglob("cells/*/clean/raw-*.json"))) == 1


def test_cells_by_name():
    assert list(choose_cells("all", [4]))[:3] == ["clean", "lighting-4", "texture-4"]
    assert choose_cells([Cell("texture", 2)], [4]) == {
        "clean": None,
        "texture-2": Cell("texture", 2),
    }
    with pytest.raises(ValueError, match="must be one of"):
        choose_cells([Cell("textures", 2)], [4])


def test_the_command_compares_with_and_without_the_stem(tmp_path):
    command = (
        *(Path(sys.executable).parent / "stemob", "evaluate", "--env", ENV),
        *("--policy", "pointing.py:look", "--suite", "corruption", "--episodes", 2),
        *("--num-envs", 1, "--split", "dev", "--out", tmp_path, "--advise"),
    )
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        cwd=Path(pointing.__file__).parent,
    )
    assert done.returncode == 0, done.stderr
    assert [condition["name"] for condition in Results.read(tmp_path).content["conditions"]] == [
        "raw",
        "embedded",
    ]
    assert (tmp_path / "results.csv").exists()
    first = (tmp_path / "report.html").read_bytes()
    assert b"corruption-4" in first
    path, *advice = done.stdout.splitlines()
    assert path == str(tmp_path / "report.html")
    assert len(advice) == 2
    assert advice[0].startswith(("Collect or augment corruption next", "raw loses to no factor"))
    again = CliRunner().invoke(app, ["report", str(tmp_path), "--advise"])
    assert again.stdout == done.stdout
    assert (tmp_path / "report.html").read_bytes() == first
    other = ["report", str(tmp_path), "--reference", "embedded", "--out", str(tmp_path / "b.html")]
    assert CliRunner().invoke(app, other).exit_code == 0
    assert "Beyond embedded" in (tmp_path / "b.html").read_text()


def test_records_know_their_rate():
    record = Record("raw", 0, ENV, "clean", [1, 2], [True, False], [3, 4], [1.0, 0.0], {})
    assert record.success_rate == 0.5
    assert Record(**json.loads(json.dumps(dataclasses.asdict(record)))) == record


def test_no_results_yet(tmp_path):
    with pytest.raises(FileNotFoundError, match="run the evaluation to its end"):
        Results.read(tmp_path)
    (tmp_path / "results.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match="must have format 2 or 1"):
        Results.read(tmp_path)


def test_a_mujoco_env_is_rendered_and_perturbed(tmp_path):
    """HalfCheetah observes no image; its scene and its pictures are changed."""

    def stand(observation):
        assert observation.shape == (1, 48, 48, 3)
        return pointing.np.zeros((1, 6))

    results = evaluate(
        [Condition("raw", stand), Condition("stem", stand, STEM)],
        "HalfCheetah-v5",
        suite=["lighting", "corruption"],
        episodes=2,
        split="dev",
        num_envs=1,
        env_kwargs={"HalfCheetah-v5": {"size": 48, "max_episode_steps": 3}},
        success_return=-100.0,
        out=tmp_path,
    )
    assert [record.cell for record in results.records[::2]] == [
        "clean", "lighting-4", "corruption-4",
    ]  # fmt: skip
    assert all(record.lengths == [3, 3] and all(record.successes) for record in results.records)
    returns = {tuple(record.returns) for record in results.records}
    assert len(returns) == 1  # the cells change nothing of what happens
    assert len(results.content["frames"]) == 6
