"""Demonstrations hold what happened, in robomimic's layout, whatever interrupted their making."""

import contextlib
import json
import subprocess
import sys
import time
from importlib.metadata import version
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("robosuite", reason="needs robosuite")

from experiments.imitation import collect, demo_file, experts

SIZE = 32
IMAGES = ("agentview_image", "robot0_eye_in_hand_image")
ARGUMENTS: dict[str, Any] = {"episodes": 2, "seed": 7, "size": SIZE, "action_noise": 0.3}


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    path = collect.collect("Lift", tmp_path_factory.mktemp("demos") / "lift.hdf5", **ARGUMENTS)
    assert [entry.name for entry in path.parent.iterdir()] == ["lift.hdf5"]
    return path


@pytest.fixture(scope="module")
def recorder():
    recorder = collect.Recorder(collect.Settings("Lift", seed=7, size=SIZE))
    yield recorder
    recorder.close()


def test_layout(demos):
    with h5py.File(demos) as file:
        data: Any = file["data"]
        masks: Any = file["mask"]
        assert [*masks["train"][:], *masks["valid"][:]] == [b"demo_0", b"demo_1"]
        assert data.attrs["total"] == sum(demo.attrs["num_samples"] for demo in data.values())
        for demo in data.values():
            length = demo.attrs["num_samples"]
            rows = {
                name: (demo[name].dtype, demo[name].shape[1:]) for name in demo if name != "obs"
            }
            assert rows == {
                "actions": (np.float32, (7,)),
                "executed_actions": (np.float32, (7,)),
                "states": (np.float64, (32,)),
                "rewards": (np.float64, ()),
                "dones": (np.int64, ()),
            }
            assert {len(demo[name]) for name in rows} == {length}
            for image in IMAGES:
                assert demo["obs"][image].shape == (length, SIZE, SIZE, 3)
                assert demo["obs"][image].dtype == np.uint8
            assert demo["obs/proprio"].dtype == np.float32
            after = collect.AFTER_SUCCESS + 1
            assert demo["dones"][:].tolist() == [0] * (length - after) + [1] * after
            assert (demo["rewards"][:] > 0).tolist() == (demo["dones"][:] > 0).tolist()


def test_executed_actions_lead_through_the_states_and_recorded_ones_are_the_experts(demos):
    env = gym.make(
        "stemob/Lift-v0", cameras=(), terminate_on_success=False, disable_env_checker=True
    )
    simulator: Any = env.unwrapped.simulator  # pyright: ignore[reportAttributeAccessIssue]
    with h5py.File(demos) as file:
        demo: Any = file["data/demo_1"]
        observation, _ = env.reset(seed=int(demo.attrs["reset_seed"]))
        for step, executed in enumerate(demo["executed_actions"]):
            np.testing.assert_array_equal(simulator.sim.get_state().flatten(), demo["states"][step])
            np.testing.assert_array_equal(observation["proprio"], demo["obs/proprio"][step])
            np.testing.assert_array_equal(experts.LiftExpert().act(env), demo["actions"][step])
            observation, *_ = env.step(executed)
        difference = demo["executed_actions"][:] - demo["actions"][:]
        assert np.abs(difference[:, :6]).max() > 0.05
        np.testing.assert_array_equal(difference[:, 6], 0.0)
    env.close()


def test_a_killed_run_goes_on_to_the_same_bytes_with_more_workers(demos, tmp_path):
    out = tmp_path / "lift.hdf5"
    first = tmp_path / "lift.hdf5.parts" / "demo_0.hdf5"
    options = [f"--{name.replace('_', '-')}={value}" for name, value in ARGUMENTS.items()]
    script = ("-m", "experiments.imitation.collect")
    process = subprocess.Popen([sys.executable, *script, "--task=Lift", f"--out={out}", *options])
    while not first.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not out.exists()
    made = first.stat().st_mtime_ns
    with contextlib.suppress(FileNotFoundError):
        (first.parent / "demo_1.hdf5").unlink()

    with pytest.raises(FileExistsError, match="other settings"):
        collect.collect("Lift", out, **{**ARGUMENTS, "action_noise": 0.0})
    assert first.stat().st_mtime_ns == made
    collect.collect("Lift", out, workers=2, **{**ARGUMENTS, "episodes": 3})
    with h5py.File(out) as file, h5py.File(demos) as expected:
        assert list(file["data"]) == ["demo_0", "demo_1", "demo_2"]  # pyright: ignore
        for name in ("demo_0", "demo_1"):
            assert flat(file[f"data/{name}"]) == flat(expected[f"data/{name}"])


def test_the_same_settings_give_the_same_file(demos, recorder, tmp_path):
    folder = demo_file.open_parts(tmp_path / "again.hdf5", {})
    parts = [folder / f"demo_{index}.hdf5" for index in range(2)]
    for index in (1, 0):
        demo_file.write_part(parts[index], recorder.record(index))
    wanted = demo_file.as_settings(collect.Settings("Lift", seed=7, size=SIZE))
    demo_file.merge(parts, tmp_path / "again.hdf5", wanted)
    assert (tmp_path / "again.hdf5").read_bytes() == demos.read_bytes()
    assert not folder.exists()


def flat(group: Any) -> dict[str, Any]:
    """Everything in a group, by name."""
    found = {f"@{name}": value for name, value in group.attrs.items()}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = (item.dtype.str, item.shape, item[()].tobytes())

    group.visititems(visit)
    return found


def test_a_finished_file_is_left_alone(demos):
    made = demos.stat().st_mtime_ns
    assert collect.collect("Lift", demos, **ARGUMENTS) == demos
    with pytest.raises(FileExistsError, match="move it or name another"):
        collect.collect("Lift", demos, **{**ARGUMENTS, "episodes": 3})
    assert demos.stat().st_mtime_ns == made


def test_appearance_changes_what_is_seen_and_nothing_else(demos):
    dressed = collect.Recorder(collect.Settings("Lift", seed=7, size=SIZE, appearance="train"))
    episode = dressed.record(0)
    dressed.close()
    with h5py.File(demos) as file:
        demo: Any = file["data/demo_0"]
        for name in ("actions", "executed_actions", "states", "rewards"):
            np.testing.assert_array_equal(episode.rows[name], demo[name])
        for step, observation in enumerate(episode.observations):
            for image in IMAGES:
                assert (observation[image] != demo["obs"][image][step]).mean() > 0.5


def test_an_episode_that_fails_is_tried_with_another_seed(recorder, monkeypatch):
    attempts = []
    monkeypatch.setattr(recorder._env.unwrapped, "horizon", 60)

    class SecondTime(experts.LiftExpert):
        def reset(self) -> None:
            attempts.append(1)

        def act(self, env: Any) -> Any:
            return np.zeros(7, np.float32) if len(attempts) < 2 else super().act(env)

    monkeypatch.setitem(collect.EXPERTS, "Lift", SecondTime)
    assert recorder.record(3).reset_seed == 3 + 7 + collect.MAX_SEED
    assert len(attempts) == 2
    monkeypatch.setattr(collect, "MAX_ATTEMPTS", 1)
    attempts.clear()
    with pytest.raises(RuntimeError, match="episode 3 of Lift failed at 1 attempts"):
        recorder.record(3)


def test_robomimics_own_reader_reads_it(demos):
    dataset = pytest.importorskip(
        "robomimic.utils.dataset", reason="robomimic is not installed: pip install --no-deps"
    )
    from robomimic.utils import obs_utils

    with h5py.File(demos) as file:
        demo: Any = file["data/demo_0"]
        expected = {key: demo["obs"][key][5:9] for key in (*IMAGES, "proprio")}
        actions = demo["actions"][5:9]
    obs_utils.initialize_obs_utils_with_obs_specs(
        {"obs": {"rgb": list(IMAGES), "low_dim": ["proprio"]}}
    )
    reader = dataset.SequenceDataset(
        hdf5_path=str(demos),
        obs_keys=(*IMAGES, "proprio"),
        dataset_keys=("actions", "rewards", "dones"),
        seq_length=4,
        filter_by_attribute="train",
        load_next_obs=False,
    )
    sample = reader[5]
    for key, value in expected.items():
        np.testing.assert_array_equal(sample["obs"][key], value)
    np.testing.assert_array_equal(sample["actions"], actions)
    reader.close_and_delete_hdf5_handle()


def test_robosuite_rebuilds_the_env_and_the_states(demos):
    import robosuite

    with h5py.File(demos) as file:
        arguments = json.loads(str(file["data"].attrs["env_args"]))
        demo: Any = file["data/demo_0"]
        assert arguments["type"] == 1
        assert arguments["env_version"] == robosuite.__version__
        assert arguments["mujoco_version"] == version("mujoco")
        blind = {"has_offscreen_renderer": False, "use_camera_obs": False}
        env = robosuite.make(arguments["env_name"], **{**arguments["env_kwargs"], **blind})
        env.reset()
        env.reset_from_xml_string(env.edit_model_xml(demo.attrs["model_file"]))
        for step in (0, len(demo["states"]) - 1):
            env.sim.set_state_from_flattened(demo["states"][step])
            env.sim.forward()
            hand = env.sim.data.site_xpos[env.robots[0].eef_site_id["right"]]
            seen = demo["obs/proprio"][step][35:38]  # the hand's position, of the last substep
            np.testing.assert_allclose(hand, seen, atol=1e-3)
            assert bool(env._check_success()) == bool(step)
        env.close()


@pytest.mark.parametrize(
    ("episodes", "valid"), [(20, [b"demo_9", b"demo_19"]), (3, [b"demo_2"]), (1, [])]
)
def test_one_episode_in_ten_is_for_validation(episodes, valid, tmp_path):
    folder = demo_file.open_parts(tmp_path / "many.hdf5", {})
    parts = [folder / f"demo_{index}.hdf5" for index in range(episodes)]
    step: tuple[Any, ...] = (
        {"proprio": np.zeros(2, np.float32)},
        np.zeros(3),
        *[np.zeros(7, np.float32)] * 2,
    )
    for index, part in enumerate(parts):
        demo = demo_file.Demo(index, "<mujoco/>", {})
        demo.add(*step, 1.0, True)  # pyright: ignore[reportCallIssue]
        demo_file.write_part(part, demo)
    demo_file.merge(parts, tmp_path / "many.hdf5", {})
    with h5py.File(tmp_path / "many.hdf5") as file:
        masks: Any = file["mask"]
        assert masks["valid"][:].tolist() == valid
        assert len(set(masks["train"][:]) - set(masks["valid"][:])) == episodes - len(valid)


@settings(deadline=None)
@given(st.integers(0, 499_999), st.floats(0.0, 2.0))
def test_noise_is_drawn_from_its_seed_and_leaves_the_gripper_alone(seed, scale):
    actions = np.random.default_rng(0).uniform(-1, 1, (40, 7)).astype(np.float32)
    first, again = (collect.ActionNoise(scale, seed) for _ in range(2))
    disturbed = [first.disturb(action) for action in actions]
    np.testing.assert_array_equal(disturbed, [again.disturb(action) for action in actions])
    assert np.abs(disturbed).max() <= 1.0
    np.testing.assert_array_equal(np.array(disturbed)[:, 6], actions[:, 6])
    if scale == 0.0:
        np.testing.assert_array_equal(disturbed, actions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "Wipe"}, "task must be one of Lift, Stack"),
        ({"seed": -1}, "seed must be from 0"),
        ({"seed": 19_999}, "seed [+] episodes at most 20000"),
        ({"episodes": 0}, "episodes must be at least 1"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"appearance": "test"}, "appearance must be None or 'train'"),
        ({"action_noise": -0.1}, "action_noise must be 0 or more"),
    ],
)
def test_bad_arguments(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        collect.collect(**{"task": "Lift", "out": tmp_path / "a.hdf5", **ARGUMENTS, **arguments})
    assert list(tmp_path.iterdir()) == []
