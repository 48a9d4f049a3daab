"""The whole of an evaluation: pairs, files, going on where it stopped, errors that lose nothing."""

import copy
import csv
import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pointing
import pytest

from stemob_wrappers import StemConfig
from stemob_wrappers.evaluation import Arm, Record, Results, evaluate
from stemob_wrappers.evaluation.cells import choose_cells
from stemob_wrappers.perturb.suites import Cell

ENV = "pointing:fake/Pointing-v0"
STEM = StemConfig(inversion_steps=3)
ARMS = [
    Arm("raw", "pointing:look"),
    Arm("again", "pointing:look"),
    Arm("stem", "pointing:look", STEM),
    Arm("guess", "pointing:guess", training_seed=1),
]
SETTINGS = {"suite": "corruption", "severities": (5,), "episodes": 4, "split": "dev", "num_envs": 1}


def run(arms, out, env: str | list[str] = ENV, **changes):
    return evaluate(arms, env, out=out, **{**SETTINGS, **changes})


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run(ARMS, tmp_path_factory.mktemp("whole"))


def without_timings(content):
    """The results without what differs from run to run."""
    content = copy.deepcopy(content)
    del content["provenance"]
    for part in (content["records"], content["summary"]["rows"]):
        for row in part:
            del row["ms_per_step"]
    return content


def of_arm(results, name):
    """What happened to an arm, by cell."""
    return {
        record.cell: (record.seeds, record.successes, record.lengths, record.returns)
        for record in results.records
        if record.arm == name
    }


def test_arms_of_one_policy_have_identical_episodes(results):
    assert of_arm(results, "raw") == of_arm(results, "again")
    assert of_arm(results, "raw") != of_arm(results, "guess")


def test_every_arm_and_cell_has_the_same_reset_seeds(results):
    assert len({tuple(record.seeds) for record in results.records}) == 1
    assert [(r.cell, r.arm, r.training_seed) for r in results.records] == [
        (cell, arm.name, arm.training_seed) for cell in ("clean", "corruption-5") for arm in ARMS
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


def test_a_run_that_was_cut_short_goes_on(results, tmp_path, monkeypatch):
    played = []

    class Cut(pointing.Watcher):
        """Acts like the function of the module, and fails at its third episode."""

        def __call__(self, observation):
            if len(self.masks) == 3:
                raise KeyboardInterrupt
            return super().__call__(observation)

    monkeypatch.setattr(pointing, "guess", Cut(pointing.guess))
    with pytest.raises(KeyboardInterrupt):
        run(ARMS, tmp_path)
    assert not (tmp_path / "results.json").exists()
    assert len(list(tmp_path.rglob("cells/*/*/*.json"))) == 3  # of the clean cell
    monkeypatch.undo()
    monkeypatch.setattr(
        "stemob_wrappers.evaluation.jobs.play",
        lambda *args, **kwargs: played.append(1) or play(*args, **kwargs),
    )
    from stemob_wrappers.evaluation.rollouts import play

    resumed = run(ARMS, tmp_path)
    assert len(played) == 5
    assert without_timings(resumed.content) == without_timings(results.content)


def test_a_finished_run_plays_nothing_and_a_torn_cell_is_played_again(results, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(results.folder, folder)
    again = run(ARMS, folder)
    assert again.content["records"] == results.content["records"]  # timings too: nothing was played
    torn = next(folder.glob("cells/*/corruption-5/stem-*.json"))
    torn.write_text(torn.read_text()[:100])
    mended = run(ARMS, folder)
    assert without_timings(mended.content) == without_timings(results.content)


def test_other_settings_do_not_take_or_harm_finished_cells(results, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(results.folder, folder)
    before = {path: path.read_bytes() for path in folder.rglob("cells/*/*/*.json")}
    other = run(ARMS[:1], folder, seed=1, suite=[])
    assert other.records[0].seeds != results.records[0].seeds
    changed = [Arm("raw", "pointing:guess")]
    assert (
        of_arm(run(changed, folder, suite=[]), "raw")["clean"]
        == (of_arm(results, "guess")["clean"])
    )
    assert all(path.read_bytes() == content for path, content in before.items())


def test_an_arm_for_one_env_only(tmp_path):
    pair = [ENV, "HalfCheetah-v5"]
    with pytest.raises(ValueError, match="no arm is for HalfCheetah-v5"):
        run([Arm("raw", "pointing:look", task=ENV)], tmp_path, pair)
    with pytest.raises(ValueError, match="which is not evaluated"):
        run([Arm("raw", "pointing:look", task="Hopper-v5")], tmp_path)


@pytest.mark.parametrize(
    ("arms", "changes", "says"),
    [
        ([], {}, "at least one arm"),
        (ARMS[:1] * 2, {}, "is there twice"),
        (ARMS, {"reference": "rwa"}, "must be one of again, guess, raw, stem"),
        (ARMS, {"num_envs": 0}, "num_envs must be 1 or more"),
        (ARMS, {"episodes": 0}, "episodes 1 or more"),
        (ARMS, {"split": "tset"}, "split must be one of"),
        (ARMS, {"suite": "colors"}, "Unknown suite"),
        (ARMS, {"severities": (6,)}, "severity"),
        (ARMS, {"env_kwargs": {"fault": object}}, "plain JSON"),
        (ARMS, {"env_kwargs": {ENV: {}, "horizon": 3}}, "received both: horizon"),
        (ARMS, {"suite": "texture"}, "cannot be evaluated in the cell texture-5"),
        ([Arm("a", "pointing:lok")], {}, "no function 'lok'"),
        ([Arm("a", "pointing:look", StemConfig(backbone="embeded"))], {}, "unknown backbone"),
    ],
)
def test_errors_come_before_any_episode(arms, changes, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        run(arms, tmp_path, **changes)
    assert not list(tmp_path.rglob("cells/*/*/*.json"))


def test_an_error_in_the_middle_names_the_arm_and_what_to_do(tmp_path):
    arms = [Arm("raw", "pointing:look"), Arm("flat", lambda observation: [0.0])]
    with pytest.raises(ValueError, match="actions of shape") as caught:
        run(arms, tmp_path, suite=[])
    assert "while arm 'flat' played" in caught.value.__notes__[0]
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
        *("--num-envs", 1, "--split", "dev", "--out", tmp_path),
    )
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        cwd=Path(pointing.__file__).parent,
    )
    assert done.returncode == 0, done.stderr
    assert [arm["name"] for arm in Results.read(tmp_path).content["arms"]] == ["raw", "embedded"]
    assert (tmp_path / "results.csv").exists()
    assert "corruption-4" in (tmp_path / "report.html").read_text()


def test_records_know_their_rate():
    record = Record("raw", 0, ENV, "clean", [1, 2], [True, False], [3, 4], [1.0, 0.0], {})
    assert record.success_rate == 0.5
    assert Record(**json.loads(json.dumps(dataclasses.asdict(record)))) == record


def test_no_results_yet(tmp_path):
    with pytest.raises(FileNotFoundError, match="run the evaluation to its end"):
        Results.read(tmp_path)
    (tmp_path / "results.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match="must have format 1"):
        Results.read(tmp_path)


def test_a_mujoco_env_is_rendered_and_perturbed(tmp_path):
    """HalfCheetah observes no image; its scene and its pictures are changed."""

    def stand(observation):
        assert observation.shape == (1, 48, 48, 3)
        return pointing.np.zeros((1, 6))

    results = evaluate(
        [Arm("raw", stand), Arm("stem", stand, STEM)],
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
