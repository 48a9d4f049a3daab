"""The experts do their tasks from wherever they are."""

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("robosuite", reason="needs robosuite")

from experiments.imitation import experts
from experiments.imitation.experts import __main__ as command
from experiments.imitation.experts import hand
from experiments.imitation.experts.door import Handle
from experiments.imitation.experts.stack import clear_yaw

SLOW = pytest.mark.slow
TASKS = [
    "Lift",
    "Stack",
    pytest.param("PickPlaceCan", marks=SLOW),
    pytest.param("Door", marks=SLOW),
]


@pytest.fixture(scope="module", params=TASKS)
def env(request):
    env = gym.make(f"stemob/{request.param}-v0", cameras=(), horizon=300, disable_env_checker=True)
    yield env
    env.close()


@pytest.fixture
def expert(env):
    return experts.EXPERTS[env.unwrapped.spec.kwargs["task"]]()


def finish(env, expert):
    """Step to the end of the episode; return whether it succeeded."""
    while True:
        *_, terminated, truncated, info = env.step(expert.act(env))
        if terminated or truncated:
            return info["success"]


def test_it_succeeds_on_all_seeds(env, expert):
    failed = []
    for seed in range(14):
        env.reset(seed=seed)
        expert.reset()
        if not finish(env, expert):
            failed.append(seed)
    assert failed == []


def test_it_carries_on_after_disturbances_and_after_dropping(env, expert):
    rng = np.random.default_rng(0)
    env.reset(seed=100)
    for _ in range(3):
        closing = 0
        while closing < 6:  # steps: the fingers are at the object then
            action = expert.act(env)
            closing += action[6] == hand.CLOSE
            *_, terminated, truncated, _ = env.step(action)
            assert not terminated
            assert not truncated
        for _ in range(6):
            env.step(np.array([*rng.uniform(-0.5, 0.5, 6), hand.OPEN]))
    assert finish(env, expert)


def test_actions_are_a_function_of_the_state_and_in_range(env, expert):
    env.reset(seed=1)
    for _ in range(30):
        action = expert.act(env)
        assert action.dtype == np.float32
        assert env.action_space.contains(action)
        np.testing.assert_array_equal(expert.act(env), action)
        np.testing.assert_array_equal(type(expert)().act(env), action)
        env.step(action)


@given(st.floats(-np.pi, np.pi), st.floats(0.06, 0.2))
def test_fingers_keep_clear_of_a_neighbour(direction, distance):
    there = distance * np.array([np.cos(direction), np.sin(direction), 0.0])
    chosen = clear_yaw(np.zeros(3), there)

    def towards_neighbour(yaw):
        return abs(np.array([-np.sin(yaw), np.cos(yaw)]) @ there[:2]) / distance

    assert abs(chosen) <= np.pi / 3 + 1e-9
    if distance > 0.1 or towards_neighbour(0.0) <= 0.5:
        assert chosen == 0.0
    else:  # no further than it must
        assert towards_neighbour(chosen) == pytest.approx(0.5)


def test_the_door_is_opened_though_the_hand_loses_its_handle():
    """Once it was turned half way, the hand is pushed away from the door."""
    env = gym.make("stemob/Door-v0", cameras=(), horizon=200, disable_env_checker=True)
    expert = experts.EXPERTS["Door"]()
    env.reset(seed=3)
    simulator = hand.simulator_of(env)
    while Handle.of(simulator).turned < 0.5:
        env.step(expert.act(env))
    for _ in range(10):
        env.step(np.array([0.0, 1.0, 0.0, 0.0, 0.0, 0.0, hand.OPEN]))
    assert abs(Handle.of(simulator).turned) < 0.3
    assert finish(env, expert)
    assert simulator.sim.data.qpos[simulator.hinge_qpos_addr] > 0.3
    env.close()


def test_measure_counts_steps(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["experts", "--task", "Lift", "--episodes", "1"])
    command.main()
    assert "Lift: 1 of 1 episodes succeeded" in capsys.readouterr().out
    assert command.measure("Lift", 1, horizon=3) == [0]


def test_an_episode_is_disturbed_as_a_demonstration_is():
    still, disturbed = (command.measure("Lift", 1, noise=noise) for noise in (0.0, 1.0))
    assert still != disturbed
