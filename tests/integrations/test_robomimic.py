"""robomimic's own env, training and rollouts, on stem frames."""

from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import real_robomimic
from real_robomimic import IMAGE, SIZE, STATES

from stemob_wrappers import StemConfig
from stemob_wrappers.datasets import invert_dataset

CONFIG = StemConfig(inversion_steps=5)


@pytest.fixture(scope="module")
def robomimic() -> Any:
    """robomimic's utilities, by name."""
    with real_robomimic.imports():
        from robomimic import algo, config
        from robomimic.utils import env_utils, file_utils, obs_utils, train_utils

        yield SimpleNamespace(
            algo_factory=algo.algo_factory,
            RolloutPolicy=algo.RolloutPolicy,
            config_factory=config.config_factory,
            env_utils=env_utils,
            file_utils=file_utils,
            obs_utils=obs_utils,
            train_utils=train_utils,
        )


@pytest.fixture(scope="module")
def raw(robomimic: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real_robomimic.write_demos(tmp_path_factory.mktemp("robomimic") / "raw.hdf5")


@pytest.fixture(scope="module")
def stem(raw: Path) -> Path:
    target = raw.with_name("stem.hdf5")
    invert_dataset(raw, target, CONFIG)
    return target


@pytest.fixture
def config(robomimic: Any, stem: Path) -> Any:
    config = robomimic.config_factory("bc")
    config.train.data = str(stem)
    config.train.batch_size = 2
    config.train.hdf5_load_next_obs = False
    config.observation.modalities.obs.rgb = [IMAGE]
    config.observation.modalities.obs.low_dim = STATES
    core = config.observation.encoder.rgb.core_kwargs
    core.backbone_class, core.feature_dimension = "ShallowConv", 8
    config.algo.actor_layer_dims = (16,)
    config.lock()
    robomimic.obs_utils.initialize_obs_utils_with_config(config)
    return config


@pytest.fixture(scope="module")
def env(robomimic: Any, stem: Path) -> Any:
    env = robomimic.env_utils.create_env_from_metadata(
        robomimic.file_utils.get_env_metadata_from_dataset(stem), use_image_obs=True
    )
    yield env
    env.env.close()


def test_live_frames_are_those_of_the_data_set(
    robomimic: Any, config: Any, env: Any, stem: Path
) -> None:
    from stemob_wrappers.integrations.robomimic import StemEnvWrapper, stem_rollouts

    with stem_rollouts():
        wrapped = robomimic.env_utils.wrap_env_from_config(env, config=config)
    assert isinstance(wrapped, StemEnvWrapper)
    with h5py.File(stem) as file:
        demo: Any = file["data/demo_0"]
        stored, states = demo[f"obs/{IMAGE}"][:], demo["states"][:]
        model = demo.attrs["model_file"]
    wrapped.reset()
    assert wrapped.reset_to({"model": model}) is None
    for state, frame in zip(states[:3], stored[:3], strict=True):
        seen = wrapped.reset_to({"states": state})
        assert seen is not None
        # As robomimic's loader gives frames to the policy.
        expected = robomimic.obs_utils.process_obs(frame, obs_key=IMAGE)
        assert seen[IMAGE].dtype == expected.dtype
        np.testing.assert_array_equal(seen[IMAGE], expected)
        raw = env.get_observation()
        assert np.abs(raw[IMAGE] - seen[IMAGE]).max() > 0.05
        np.testing.assert_array_equal(raw[STATES[0]], seen[STATES[0]])
        np.testing.assert_array_equal(wrapped.get_observation()[IMAGE], seen[IMAGE])


def test_small_frames_are_those_of_the_env_that_env_args_make(
    robomimic: Any, env: Any, config: Any, raw: Path, tmp_path: Path
) -> None:
    from stemob_wrappers.integrations.robomimic import stem_rollouts

    small = StemConfig(resize=(24, 24), output="small")
    target = tmp_path / "small.hdf5"
    invert_dataset(raw, target, small)
    with config.unlocked():
        config.train.data = str(target)
    meta = robomimic.file_utils.get_env_metadata_from_dataset(target)
    assert (
        meta["env_kwargs"] == robomimic.file_utils.get_env_metadata_from_dataset(raw)["env_kwargs"]
    )
    shapes = robomimic.file_utils.get_shape_metadata_from_dataset(target, config.all_obs_keys)
    with stem_rollouts():
        wrapped = robomimic.env_utils.wrap_env_from_config(env, config=config)
    with h5py.File(target) as file:
        demo: Any = file["data/demo_0"]
        wrapped.reset()
        wrapped.reset_to({"model": demo.attrs["model_file"]})
        seen = wrapped.reset_to({"states": demo["states"][0]})
        frame = robomimic.obs_utils.process_obs(demo[f"obs/{IMAGE}"][0], obs_key=IMAGE)
    assert list(seen[IMAGE].shape) == list(shapes["all_shapes"][IMAGE]) == [3, 24, 24]
    np.testing.assert_array_equal(seen[IMAGE], frame)


def test_bc_learns_rolls_out_and_comes_back_from_a_checkpoint(
    robomimic: Any, config: Any, env: Any, stem: Path, tmp_path: Path
) -> None:
    from torch.utils.data import DataLoader

    from stemob_wrappers.integrations.robomimic import StemEnvWrapper, stem_rollouts

    env_meta = robomimic.file_utils.get_env_metadata_from_dataset(stem)
    shapes = robomimic.file_utils.get_shape_metadata_from_dataset(stem, config.all_obs_keys)
    model = robomimic.algo_factory(
        "bc", config, obs_key_shapes=shapes["all_shapes"], ac_dim=shapes["ac_dim"], device="cpu"
    )
    frames, _ = robomimic.train_utils.load_data_for_training(config, shapes["all_obs_keys"])
    loader = DataLoader(frames, batch_size=2, drop_last=True)
    losses = [
        robomimic.train_utils.run_epoch(model, loader, epoch, num_steps=3)["Loss"]
        for epoch in (1, 2)
    ]
    assert losses[1] < losses[0]
    with stem_rollouts():
        wrapped = robomimic.env_utils.wrap_env_from_config(env, config=config)
    seen = []
    act = model.get_action

    def watched(obs_dict: Any, **more: Any) -> Any:
        seen.append(obs_dict[IMAGE])
        return act(obs_dict, **more)

    model.get_action = watched
    logs, _ = robomimic.train_utils.rollout_with_stats(
        robomimic.RolloutPolicy(model), OrderedDict(Lift=wrapped), horizon=2, num_episodes=1
    )
    assert logs["Lift"]["Horizon"] == 2
    assert wrapped.pipeline.stats.misses == 3  # the reset's and two steps'
    assert seen[0].shape == (1, 3, SIZE, SIZE)

    path = tmp_path / "model.pth"
    robomimic.train_utils.save_model(model, config, env_meta, shapes, str(path))
    frames.close_and_delete_hdf5_handle()
    stem_moved = stem.rename(stem.with_name("moved.hdf5"))
    try:
        with stem_rollouts():
            again, _ = robomimic.file_utils.env_from_checkpoint(ckpt_path=str(path))
        assert isinstance(again, StemEnvWrapper)
        assert again.pipeline.fingerprint == wrapped.pipeline.fingerprint
        policy, _ = robomimic.file_utils.policy_from_checkpoint(device="cpu", ckpt_path=str(path))
        results = robomimic.train_utils.run_rollout(policy, again, horizon=2)
        assert results["Horizon"] == 2
        again.env.env.close()
    finally:
        stem_moved.rename(stem)


def test_frames_are_stacked_above(robomimic: Any, config: Any, env: Any) -> None:
    from stemob_wrappers.integrations.robomimic import stem_rollouts

    with config.values_unlocked():
        config.train.frame_stack = 3
    with stem_rollouts():
        stacked = robomimic.env_utils.wrap_env_from_config(env, config=config)
    seen = stacked.reset()
    assert seen[IMAGE].shape == (3, 3, SIZE, SIZE)
    stacked.step(np.zeros(7))
    assert stacked.env.pipeline.stats.frames == 2  # one a step, not three


def test_what_a_policy_did_not_learn_from_is_refused(
    robomimic: Any, config: Any, env: Any, raw: Path, stem: Path
) -> None:
    from stemob_wrappers.integrations.robomimic import StemEnvWrapper, learned_from, stem_rollouts

    usual = robomimic.env_utils.wrap_env_from_config
    with config.unlocked():
        config.train.data = str(raw)
    with stem_rollouts(), pytest.raises(ValueError, match=r"trained on: .*holds raw frames"):
        robomimic.env_utils.wrap_env_from_config(env, config=config)
    with config.unlocked():
        config.train.data = str(raw.with_name("none.hdf5"))
    with stem_rollouts(), pytest.raises(FileNotFoundError, match="no data set at"):
        robomimic.env_utils.wrap_env_from_config(env, config=config)
    assert robomimic.env_utils.wrap_env_from_config is usual
    with config.unlocked():
        config.train.data = str(stem)
    made_by = learned_from(config)
    assert StemConfig.from_dict(made_by["config"]) == CONFIG
    with pytest.raises(ValueError, match="expected frames with fingerprint"):
        StemEnvWrapper(env, CONFIG.replace(seed=1), expect=made_by["fingerprint"])
    with pytest.raises(Exception, match="double wrap"):
        StemEnvWrapper(StemEnvWrapper(env, CONFIG), CONFIG)
    with pytest.raises(KeyError, match="no image front"):
        StemEnvWrapper(env, CONFIG, keys=["front"]).reset()
