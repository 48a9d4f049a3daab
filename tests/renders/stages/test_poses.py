"""An arm at work has its hand at an object, palm down, or holds it."""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo ships no complete type stubs.)

import mujoco
import numpy as np
import pytest

pytest.importorskip("robosuite")

from stemob_wrappers.envs.robosuite import RobosuiteEnv
from stemob_wrappers.renders.stages.poses import (
    GRIP_SITES,
    bring_to_work,
    coloured_boxes,
    free_objects,
    grip_site,
    hand_position,
    reach,
)
from stemob_wrappers.renders.stages.stage import move_to


@pytest.fixture(scope="module")
def lift():
    """Model, data and joint positions of Lift after a reset."""
    env = RobosuiteEnv("Lift", cameras=())
    env.reset(seed=0)
    yield env.model, env.data, np.array(env.data.qpos)
    env.close()


def test_the_hand_is_found_in_models_of_either_robosuite():
    def model(name):
        site = f'<site name="{name}"/>'
        return mujoco.MjModel.from_xml_string(
            f'<mujoco><worldbody><site name="other"/>{site}</worldbody></mujoco>'
        )

    assert [grip_site(model(name)) for name in (*GRIP_SITES, "none")] == [1, 1, None]
    with pytest.raises(ValueError, match="none of them"):
        hand_position(model("none"), mujoco.MjData(model("none")))


def test_the_hand_is_at_the_cube_or_holds_it_palm_down(lift):
    model, data, home = lift
    move_to(model, data, home)
    down = data.site(GRIP_SITES[0]).xmat.reshape(3, 3)[:, 2].copy()
    cube = free_objects(model)[0]
    held, distances = 0, []
    for seed in range(40):
        qpos = bring_to_work(model, data, home, np.random.default_rng(seed))
        assert qpos is not None
        move_to(model, data, qpos)
        assert data.site(GRIP_SITES[0]).xmat.reshape(3, 3)[:, 2] @ down > 0.95
        if np.array_equal(qpos[cube : cube + 3], home[cube : cube + 3]):
            distances.append(np.linalg.norm(data.site(GRIP_SITES[0]).xpos - qpos[cube : cube + 3]))
        else:
            held += 1
            assert np.linalg.norm(data.site(GRIP_SITES[0]).xpos - qpos[cube : cube + 3]) < 0.02
    assert 4 <= held <= 24
    assert max(distances) < 0.35
    assert min(distances) < 0.03


def test_the_hand_comes_where_it_is_sent_or_not_at_all(lift):
    model, data, home = lift
    move_to(model, data, home)
    target = data.site(GRIP_SITES[0]).xpos + np.array([0.05, -0.08, -0.1])
    qpos = reach(model, data, home, target, np.random.default_rng(0))
    assert qpos is not None
    move_to(model, data, qpos)
    assert np.allclose(data.site(GRIP_SITES[0]).xpos, target, atol=3e-3)
    assert reach(model, data, home, target + 5.0, np.random.default_rng(0)) is None


def test_boxes_stand_on_the_ground_of_the_objects(lift):
    model, _, home = lift
    drawn = [coloured_boxes(model, home, np.random.default_rng(seed)) for seed in range(20)]
    assert {len(boxes) for boxes in drawn} == {0, 1, 2}
    cube = home[free_objects(model)[0] :][:3]
    for box in (box for boxes in drawn for box in boxes):
        assert box["pos"][2] - box["size"][2] == pytest.approx(cube[2] - 0.02)
        assert 0.04 < np.linalg.norm((box["pos"] - cube)[:2]) < 0.17
