"""What an installed extra must do: `python smoke.py SUITE ...`, from outside the checkout."""

import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import stemob_wrappers
from stemob_wrappers import StemConfig, StemPipeline


class Pictures(gym.Env[Any, Any]):
    """An env of random pictures."""

    observation_space = gym.spaces.Box(0, 255, (32, 32, 3), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), 0.0, False, False, {}


def play(env: Any) -> None:
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    observation, *_ = env.step(env.action_space.sample())
    assert env.observation_space.contains(observation)
    env.close()


def core() -> None:
    for method in ("ddpm", "ddim"):
        play(stemob_wrappers.StemObservation(Pictures(), method=method, inversion_steps=2))
    play(stemob_wrappers.vector.StemObservation(gym.vector.SyncVectorEnv([Pictures, Pictures])))


def mujoco() -> None:
    env = stemob_wrappers.make("HalfCheetah-v5", size=32)
    play(stemob_wrappers.perturb.ScenePerturbation(env, severity=3, seed=0))
    play(stemob_wrappers.perturb.PixelPerturbation(Pictures(), severity=3, seed=0))


def robosuite() -> None:
    play(stemob_wrappers.StemObservation(gym.make("stemob/Lift-v0", size=32)))


def metaworld() -> None:
    import metaworld

    from stemob_wrappers.scene.gl import ensure_gl

    ensure_gl()
    env = gym.make(
        "Meta-World/MT1", env_name="reach-v3", render_mode="rgb_array", width=64, height=64
    )
    rendered = stemob_wrappers.RenderObservation(env, size=64)
    play(stemob_wrappers.StemObservation(rendered))


def dm_control() -> None:
    from stemob_wrappers.scene.gl import ensure_gl

    ensure_gl()
    from dm_control import suite

    class Reacher(Pictures):
        def __init__(self) -> None:
            self.inner: Any = suite.load("reacher", "easy", task_kwargs={"random": 0})

        def frame(self) -> Any:
            return self.inner.physics.render(32, 32, camera_id=0)

        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            self.inner.reset()
            return self.frame(), {}

        def step(self, action: Any) -> Any:
            self.inner.step(np.zeros(2))
            return self.frame(), 0.0, False, False, {}

    play(stemob_wrappers.StemObservation(Reacher()))


def diffusers() -> None:
    import torch
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        DDPMPipeline,
        StableDiffusionPipeline,
        UNet2DConditionModel,
        UNet2DModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    frames = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    parts = {
        "vae": AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 8),
            norm_num_groups=4,
        ),
        "unet": UNet2DConditionModel(
            sample_size=16,
            down_block_types=("CrossAttnDownBlock2D",),
            up_block_types=("CrossAttnUpBlock2D",),
            mid_block_type=None,
            block_out_channels=(16,),
            norm_num_groups=4,
            cross_attention_dim=16,
            attention_head_dim=4,
            layers_per_block=1,
        ),
        "text_encoder": CLIPTextModel(
            CLIPTextConfig(
                vocab_size=50,
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                max_position_embeddings=8,
            )
        ),
        "scheduler": scheduler,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, module in parts.items():
            module.save_pretrained(folder / "sd" / part)
        words = '{"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2, "a": 3}'
        (folder / "sd" / "tokenizer").mkdir()
        (folder / "sd" / "tokenizer" / "vocab.json").write_text(words)
        (folder / "sd" / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
        unet = UNet2DModel(
            sample_size=32,
            block_out_channels=(16,),
            down_block_types=("DownBlock2D",),
            up_block_types=("UpBlock2D",),
            norm_num_groups=4,
            layers_per_block=1,
        )
        DDPMPipeline(unet, scheduler).save_pretrained(folder / "pixels")
        for backbone in ("sd", "pixels"):
            for method in ("ddpm", "ddim"):
                config = StemConfig(
                    backbone=str(folder / backbone), method=method, inversion_steps=2
                )
                assert StemPipeline(config)(frames).shape == frames.shape
    assert StableDiffusionPipeline


def write_demos(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        demo = file.create_group("data/demo_0")
        demo.attrs["num_samples"] = 4
        demo["actions"] = np.zeros((4, 2))
        frames = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
        demo["obs/agentview_image"] = frames


def datasets() -> None:
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name, "raw.hdf5"), Path(name, "stems.hdf5")
        write_demos(source)
        summary = stemob_wrappers.datasets.invert_dataset(source, target, StemConfig())
        assert summary.frames == 4, summary
        assert stemob_wrappers.datasets.verify_dataset(source, target) == []


def video() -> None:
    from stemob_wrappers.pictures import write_image

    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name, "raw"), Path(name, "stems")
        write_image(source / "a.png", np.zeros((32, 32, 3), np.uint8))
        summary = stemob_wrappers.datasets.invert_dataset(source, target, StemConfig())
        assert summary.frames == 1, summary


def report() -> None:
    from stemob_wrappers.evaluation import evaluate

    assert evaluate
    from stemob_wrappers.report import check_installed
    from stemob_wrappers.report.intervals import wilson_interval

    check_installed()
    assert wilson_interval(3, 5).low > 0


def cli() -> None:
    command = str(Path(sys.executable).with_name("stemob"))
    with tempfile.TemporaryDirectory() as name:
        from stemob_wrappers.pictures import write_image

        write_image(Path(name, "a.png"), np.zeros((32, 32, 3), np.uint8))
        for arguments in (["--help"], ["invert", f"{name}/a.png", f"{name}/b.png"]):
            subprocess.run([command, *arguments], check=True, capture_output=True)
        assert Path(name, "b.png").exists()


def sb3() -> None:
    from stable_baselines3.common.vec_env import DummyVecEnv

    from stemob_wrappers.wrappers.sb3 import StemVecEnv

    venv = StemVecEnv(DummyVecEnv([Pictures]))
    assert np.shape(venv.reset()) == (1, 32, 32, 3)


def train() -> None:
    from stemob_wrappers.backbones.engines import GRAPH_FILE
    from stemob_wrappers.backbones.export import write_graph
    from stemob_wrappers.backbones.networks import StemAutoencoder

    with tempfile.TemporaryDirectory() as name:
        StemAutoencoder(2, 2, width=32, context_width=32, deep_width=32).save_pretrained(
            Path(name, "vae")
        )
        write_graph(Path(name))
        assert Path(name, GRAPH_FILE).exists()


PACKAGES = (
    "numpy gymnasium torch onnxruntime mujoco robosuite diffusers huggingface-hub transformers h5py "
    "av pillow opencv-python simplejpeg typer rich stable-baselines3 onnx metaworld dm_control"
)


def main() -> None:
    """Run the suites that are named, and say which versions they ran on."""
    for suite in sys.argv[1:]:
        globals()[suite]()
    found = []
    for package in PACKAGES.split():
        try:
            found.append(f"{package} {version(package)}")
        except ModuleNotFoundError:
            continue
    print(", ".join(found))


if __name__ == "__main__":
    main()
