"""Conditions and the loading of policies by name."""

import numpy as np
import pytest

from stemob_wrappers import StemConfig
from stemob_wrappers.evaluation import Condition, load_policy

OBSERVATION = {
    "front_image": np.full((3, 48, 48, 3), 70, np.uint8),
    "proprio": np.zeros((3, 1), np.float32),
}
MODULE = """
import numpy as np
from beside import VALUE

def act(observation):
    return np.full((len(observation["proprio"]), 2), VALUE, np.float32)

def load(path):
    value = float(open(path).read())
    def policy(observation):
        return np.full((len(observation["proprio"]), 2), value, np.float32)
    return policy

def load_nothing(path):
    return None

number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a module of policies, and a module beside it."""
    name = f"policies_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / "beside.py").write_text("VALUE = 0.25\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "beside", raising=False)
    return tmp_path, name


def test_a_function_of_a_module(folder):
    assert load_policy(f"{folder[1]}:act")(OBSERVATION).tolist() == [[0.25, 0.25]] * 3


def test_a_function_of_a_file_which_imports_what_lies_beside_it(folder):
    path, name = folder
    policy = load_policy(f"{path / name}.py:act")
    assert policy(OBSERVATION).tolist() == [[0.25, 0.25]] * 3


def test_a_function_that_loads_from_a_path(folder):
    path, name = folder
    (path / "weights").write_text("0.5")
    policy = load_policy(f"{name}:load:{path / 'weights'}")
    assert policy(OBSERVATION).tolist() == [[0.5, 0.5]] * 3


def test_what_lies_at_the_path_is_part_of_the_identity(folder):
    path, name = folder
    condition = Condition("one", f"{name}:load:{path / 'weights'}")
    (path / "weights").write_text("0.5")
    before = condition.identity()
    assert condition.identity() == before
    (path / "weights").write_text("0.6")
    assert condition.identity() != before


def test_where_it_lies_is_not(folder):
    path, name = folder
    for place in ("here", "there"):
        (path / place).write_text("0.5")
    conditions = [Condition("one", f"{name}:load:{path / place}") for place in ("here", "there")]
    assert conditions[0].identity() == conditions[1].identity()
    assert conditions[0].describe(None) != conditions[1].describe(None)


def test_identities_differ_in_policy_stem_and_training_seed():
    conditions = [
        Condition("a", "pointing:look"),
        Condition("a", "pointing:guess"),
        Condition("a", "pointing:look", StemConfig()),
        Condition("a", "pointing:look", StemConfig(inversion_steps=9)),
        Condition("a", "pointing:look", training_seed=1),
    ]
    identities = [str(condition.identity()) for condition in conditions]
    assert len(set(identities)) == len(conditions)
    assert str(Condition("b", "pointing:look").identity()) == identities[0]


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("pointing", ValueError, "module:function"),
        (":look", ValueError, "module:function"),
        ("pointing:nothing", ValueError, "has no function 'nothing'"),
        ("no_such_module:act", ImportError, "no_such_module"),
        ("no/such/file.py:act", FileNotFoundError, "no file"),
        ("pointing:look:no/such/weights", FileNotFoundError, "no policy at no/such/weights"),
        ("PPO:no/such.zip", FileNotFoundError, "no Stable-Baselines3 model at"),
        ("model.zip:x.zip", ValueError, "A2C, DDPG"),
    ],
)
def test_names_that_lead_nowhere(name, error, says):
    with pytest.raises(error, match=says):
        load_policy(name)


def test_what_is_no_function_or_loads_no_policy(folder):
    path, name = folder
    with pytest.raises(ValueError, match="has no function 'number'"):
        load_policy(f"{name}:number")
    with pytest.raises(ValueError, match="must return a policy"):
        load_policy(f"{name}:load_nothing:{path}")


def test_a_file_whose_name_another_module_has(folder):
    other = folder[0] / "elsewhere"
    other.mkdir()
    (other / "pointing.py").write_text("def act(observation): ...\n")
    import pointing  # noqa: F401

    with pytest.raises(ImportError, match="rename the file"):
        load_policy(f"{other}/pointing.py:act")


def test_condition_that_are_none():
    with pytest.raises(ValueError, match="needs a name"):
        Condition(" ", "pointing:look")
    with pytest.raises(TypeError, match="must be a callable"):
        Condition("raw", 3)  # pyright: ignore[reportArgumentType]


def test_a_model_of_stable_baselines(tmp_path):
    stable_baselines3 = pytest.importorskip("stable_baselines3")
    import gymnasium as gym
    import pointing  # noqa: F401

    env = gym.make("fake/Pointing-v0")
    model = stable_baselines3.PPO("MultiInputPolicy", env, n_steps=8, batch_size=8, seed=0)
    model.save(tmp_path / "model.zip")
    policy = load_policy(f"PPO:{tmp_path / 'model.zip'}")
    policy.reset(np.ones(3, bool))  # pyright: ignore[reportFunctionMemberAccess]
    actions = policy(OBSERVATION)
    assert actions.shape == (3, 2)
    np.testing.assert_array_equal(actions, model.predict(OBSERVATION, deterministic=True)[0])
    np.testing.assert_array_equal(actions, policy(OBSERVATION))
