"""Pin what the package gives, as bytes: frames, fingerprints, models, textures, noise.

``python tests/golden/make.py`` computes everything anew and writes ``golden.json`` (strings, and a
SHA-256 of each array) and ``golden.npz`` (the arrays). With ``--check`` it writes nothing and says
what differs from the files, be it one bit of one array; ``test_golden.py`` allows what another CPU
or OpenGL driver may round otherwise, as :func:`difference` has it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))  # where the helpers of the tests are

import fakes
import tiny_pipelines

from stemob_wrappers import FrameCache, StemConfig, StemPipeline, load_backbone
from stemob_wrappers.augment import augment
from stemob_wrappers.perturb import PixelPerturbation, ScenePerturbation

# Names that users do not import; whoever moves one changes its line here and nothing else.
from stemob_wrappers.scene.gl import ensure_gl  # isort: skip
from stemob_wrappers.stem.identity import fingerprint, frame_digest, identity  # isort: skip
from stemob_wrappers.diffusion.noise import draw_noise, noise_key  # isort: skip
from stemob_wrappers.scene.textures import draw_texture, make_texture  # isort: skip

Value = str | NDArray[Any]
Pinned = Iterator[tuple[str, Value]]

HERE = Path(__file__).parent
STRINGS, ARRAYS = HERE / "golden.json", HERE / "golden.npz"

BACKBONES = ("embedded", "embedded-canonical")
METHODS = ("ddpm", "ddim", "ddim-renoise", "ddim-fixed-point", "ddim-warm")
POLICIES = ("frame", "fixed", "episode", "fresh")
TINY = {
    "stem": tiny_pipelines.save_stem,
    "stable-diffusion": tiny_pipelines.save_stable_diffusion,
    "pixel-ddpm": tiny_pipelines.save_pixel_ddpm,
}
CONFIGS: tuple[dict[str, Any], ...] = (
    {},
    *({"method": method} for method in METHODS[1:]),
    *({"noise": policy} for policy in POLICIES[1:]),
    {"num_steps": 40},
    {"inversion_steps": 0},
    {"inversion_steps": 15},
    {"seed": 2**63 - 1},
    {"resolution": 64},
    {"num_steps": 100, "inversion_steps": 30, "method": "ddim", "noise": "fresh", "seed": 7},
)
UNLOADABLE: tuple[dict[str, Any], ...] = (  # configs of models that are not here
    {"backbone": "org/model"},
    {"codec": "org/codec"},
    {"revision": "main"},
    {"resolution": "model"},
)
FACTORS = (
    *("light_position", "light_direction", "light_intensity", "light_colour", "ambient"),
    *("shadows", "moving_light", "table_texture", "floor_texture", "wall_texture"),
    *("object_texture", "skybox", "object_colour", "robot_colour", "shininess", "reflectance"),
    *("camera_position", "camera_orientation", "camera_fov", "distractors"),
)
RENDERED = ("light_direction", "table_texture", "object_colour", "camera_position", "distractors")
MODEL_FIELDS = (
    *("geom_rgba", "geom_matid", "mat_rgba", "mat_specular", "mat_shininess", "mat_reflectance"),
    *("light_pos", "light_dir", "light_diffuse", "light_ambient", "light_specular"),
    *("light_castshadow", "cam_pos", "cam_quat", "cam_fovy", "tex_width", "tex_height"),
)
CORRUPTIONS = (
    *("brightness", "contrast", "gamma", "hue", "saturation", "colour_cast", "gaussian_noise"),
    *("shot_noise", "blur", "motion_blur", "jpeg", "occlusion"),
)
FAMILIES = (
    *("plain", "gradient", "checker", "stripes", "clouds", "grain", "wood", "fabric", "dots"),
    *("bricks", "blotches", "plaid", "marble", "cells", "zigzag", "mosaic", "ripples", "arcs"),
)
AUGMENTATIONS = ("random_overlay", "srm", "random_conv", "random_shift", "colour_jitter", "mixup")


# --- what is pinned -------------------------------------------------------------------------------


def stems() -> Pinned:
    """Stem frames of the shipped backbones, by inversion steps and size."""
    for backbone in BACKBONES:
        for steps in (0, 5, 15):
            pipeline = on_cpu(StemConfig(backbone=backbone, inversion_steps=steps))
            for size, count in ((84, 2), (128, 1)):
                yield f"{backbone}/{steps}/{size}", pipeline(pictures(count, size, size))


def methods() -> Pinned:
    """Stem frames of tiny models, by family, method and noise policy; two batches in a row."""
    with tempfile.TemporaryDirectory() as folder:
        for family, save in TINY.items():
            config = StemConfig(backbone=save(Path(folder, family)), inversion_steps=8)
            for method in METHODS:
                for policy in POLICIES if family == "stable-diffusion" else POLICIES[:1]:
                    changed = config.replace(method=method, noise=policy)
                    yield f"{family}/{method}/{policy}", two_batches(changed)
        config = StemConfig(backbone=str(Path(folder, "stable-diffusion")), resolution=24)
        yield "stable-diffusion/resolution", two_batches(config)


def fingerprints() -> Pinned:
    """What names a config, the weights and both together."""
    yield "original/ddpm", StemConfig.original().to_json()
    yield "original/ddim", StemConfig.original("ddim").to_json()
    for changes in (*CONFIGS, *UNLOADABLE):
        config = StemConfig(**changes)
        yield f"json/{changes}", config.to_json()
        yield f"config/{changes}", fingerprint(identity(config, "weights"))
    for backbone in BACKBONES:
        for denoiser in (False, True):
            digest = load_backbone(backbone, denoiser=denoiser).digest
            yield f"weights/{backbone}/denoiser={denoiser}", digest
        for changes in CONFIGS:
            pipeline = on_cpu(StemConfig(backbone=backbone, **changes))
            yield f"pipeline/{backbone}/{changes}", pipeline.fingerprint


def scenes() -> Pinned:
    """The model under every factor and under all, painted textures, and frames of some."""
    ensure_gl()
    scene = Scene()
    usual = scene.model.tex_data.copy()
    for name in (*FACTORS, "all"):
        env = ScenePerturbation(scene, name, severity=3)
        env.reset(seed=0)
        frame = env.step(0)[0]  # of which a moving light knows
        yield f"{name}/fields", scene.fields()
        if not np.array_equal(scene.model.tex_data, usual):
            yield f"{name}/texels", scene.model.tex_data[::4].copy()
        if name in RENDERED:
            yield f"{name}/frame", frame
        env.restore()
    scene.reset()
    yield "restored/fields", scene.fields()
    yield "restored/frame", scene.step(0)[0]
    scene.close()


def cache() -> Pinned:
    """Names and bytes of what a cache keeps on disk."""
    with tempfile.TemporaryDirectory() as folder:
        pipeline = StemPipeline(cache=FrameCache(folder), device="cpu")
        pipeline(pictures(2, 32, 32))
        yield "names", " ".join(sorted(str(path.relative_to(folder)) for path in entries(folder)))
    with tempfile.TemporaryDirectory() as folder:
        FrameCache(folder).put(bytes(range(16)), pictures(1, 12, 20)[0])
        yield "entry", sha256(np.fromfile(entries(folder)[0], np.uint8))


def corruptions() -> Pinned:
    """Frames under every corruption, the second and third of an episode."""
    for name in CORRUPTIONS:
        env = PixelPerturbation(fakes.FrameEnv(), name, severity=3)
        env.reset(seed=0)
        yield name, np.stack([env.observation(frame) for frame in pictures(2, 32, 32)])


def textures() -> Pinned:
    """A texture of each family, and the first ones that each split draws."""
    for family in FAMILIES:
        yield family, sha256(make_texture(family, 5, 48))
    for split in ("train", "dev", "test"):
        rng = np.random.default_rng(0)
        drawn = [draw_texture(split, rng, 16) for _ in range(3)]
        yield split, " ".join(f"{family} {seed} {sha256(at)}" for family, seed, at in drawn)


def noise() -> Pinned:
    """Digests of frames, keys of policies and the fields drawn for them."""
    frame = frame_digest(pictures(1, 84, 84)[0])
    yield "frame", frame.hex()
    keys = [noise_key(policy, frame=frame, episode=b"episode", count=3) for policy in POLICIES]
    for policy, key in zip(POLICIES, keys, strict=True):
        yield f"key/{policy}", key.hex()
    for seed in (0, 2**63 - 1):
        yield f"fields/{seed}", draw_noise(seed, keys, (4, 7, 9))


def augmentations() -> Pinned:
    """A training batch under each augmentation."""
    images = torch.from_numpy(pictures(4, 16, 16) / np.float32(255)).permute(0, 3, 1, 2)
    actions = torch.arange(28.0).reshape(4, 7)
    for name in AUGMENTATIONS:
        generator = torch.Generator().manual_seed(0)
        batch = {"camera": images.contiguous()}
        changed, others = augment(name, batch, {"actions": actions}, generator)
        yield f"{name}/camera", changed["camera"].numpy()
        yield f"{name}/actions", others["actions"].numpy()


SECTIONS: dict[str, Callable[[], Pinned]] = {
    section.__name__: section
    for section in (
        *(stems, methods, fingerprints, cache, scenes),
        *(corruptions, textures, noise, augmentations),
    )
}


# --- inputs ---------------------------------------------------------------------------------------


def pictures(count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Frames of seeded gradients, boxes and balls; sums and products alone, so the same anywhere.

    Returns:
        uint8 [count, height, width, 3].
    """
    return np.stack([picture(np.random.default_rng(n), height, width) for n in range(count)])


def picture(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """One frame: a wall above a floor, and six things on it."""
    y, x = (np.arange(height) / height)[:, None, None], (np.arange(width) / width)[None, :, None]
    wall, wall_below, floor, floor_aside = rng.uniform(30.0, 230.0, (4, 3))
    above = wall + (wall_below - wall) * y
    frame = np.where(y < 0.45, above + 0.0 * x, floor + (floor_aside - floor) * x * y)
    for thing in range(6):
        down, right, *colour = rng.uniform(0.1, 0.9, 2).tolist() + rng.uniform(0, 255, 3).tolist()
        reach = rng.uniform(0.05, 0.16)
        if thing % 2:
            inside = (abs(y - down) < reach) & (abs(x - right) < 1.4 * reach)
        else:
            inside = (y - down) ** 2 + (x - right) ** 2 < reach**2
        frame = np.where(inside, np.array(colour) * (1.0 - 0.5 * (y - down + reach)), frame)
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)


def on_cpu(config: StemConfig) -> StemPipeline:
    """A pipeline without a cache."""
    return StemPipeline(config, cache=False, device="cpu")


def two_batches(config: StemConfig) -> NDArray[np.uint8]:
    """The stem frames of three small frames in two calls, the last again in the first's episode."""
    pipeline, frames = on_cpu(config), pictures(3, 12, 20)
    first = pipeline(frames[:2], episodes=[b"a", b"b"])
    return np.concatenate([first, pipeline(frames[2:], episodes=[b"a"])])


def entries(folder: str) -> list[Path]:
    """The files of the frames in a cache's folder."""
    return list(Path(folder).glob("*/??/*"))


class Scene(gym.Env[Any, Any]):
    """The scene of ``scene.xml`` through its one camera, 64 pixels to the side; nothing moves."""

    observation_space = spaces.Box(0, 255, (64, 64, 3), np.uint8)
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        self.model = mujoco.MjModel.from_xml_path(str(HERE / "scene.xml"))  # type: ignore[attr-defined]
        self.data = mujoco.MjData(self.model)  # type: ignore[attr-defined]
        self.renderer = mujoco.Renderer(self.model, 64, 64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self._observe(), 0.0, False, False, {}

    def fields(self) -> NDArray[np.float64]:
        """What decides how the scene looks, of the model and of what was last drawn."""
        headlight, free, drawn = (
            self.model.vis.headlight,
            self.model.vis.global_,
            self.renderer.scene,
        )
        arrays = [getattr(self.model, field) for field in MODEL_FIELDS]
        arrays += [headlight.ambient, headlight.diffuse, self.model.stat.center]
        arrays += [free.azimuth, free.elevation, free.fovy, drawn.flags]
        for geom in drawn.geoms[: drawn.ngeom]:  # distractors are among these alone
            arrays += [geom.type, geom.size, geom.pos, geom.mat, geom.rgba]
        return np.concatenate([np.ravel(array).astype(np.float64) for array in arrays])

    def close(self) -> None:
        self.renderer.close()

    def _observe(self) -> NDArray[np.uint8]:
        mujoco.mj_forward(self.model, self.data)  # type: ignore[attr-defined]
        self.renderer.update_scene(self.data, camera="front")
        return self.renderer.render().copy()


# --- files and comparison -------------------------------------------------------------------------


def compute(section: str) -> dict[str, Value]:
    """What a section pins, under names that begin with the section's; on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two wait for each other on a busy machine, and round FFTs otherwise
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "backbone .* does not know frames like these")
            warnings.filterwarnings("ignore", "fixed-point inversion did not settle")
            return {f"{section}/{name}": value for name, value in SECTIONS[section]()}
    finally:
        torch.set_num_threads(threads)


def write() -> None:
    """Compute all sections and write the files."""
    found = {name: value for section in SECTIONS for name, value in compute(section).items()}
    arrays = {name: value for name, value in found.items() if not isinstance(value, str)}
    strings = {name: value for name, value in found.items() if isinstance(value, str)}
    digests = {name: sha256(array) for name, array in arrays.items()}
    text = json.dumps({"strings": strings, "sha256": digests}, indent=1)
    STRINGS.write_text(text + "\n")
    np.savez_compressed(ARRAYS, **arrays)


def read(section: str) -> dict[str, Value]:
    """What the files have of a section."""
    prefix = f"{section}/"
    pinned: dict[str, Value] = dict(json.loads(STRINGS.read_text())["strings"])
    with np.load(ARRAYS) as arrays:
        pinned |= {name: arrays[name] for name in arrays.files if name.startswith(prefix)}
    return {name: value for name, value in pinned.items() if name.startswith(prefix)}


def differences(section: str, *, exact: bool = False) -> list[str]:
    """One line for each name whose value is not the pinned one.

    Args:
        section: a name in `SECTIONS`.
        exact: to the bit, where otherwise :func:`difference` decides.
    """
    found, pinned = compute(section), read(section)
    lines = [f"{name}: not in the golden files" for name in found.keys() - pinned.keys()]
    lines += [f"{name}: not computed any more" for name in pinned.keys() - found.keys()]
    for name in found.keys() & pinned.keys():
        said = difference(name, found[name], pinned[name], exact=exact)
        lines += [f"{name}: {said}"] if said else []
    return sorted(lines)


def difference(name: str, found: Value, pinned: Value, *, exact: bool = False) -> str:
    """What is wrong with a value, or "".

    Strings are equal. Of frames 99 % of all levels are equal and none is off by more than one, but
    for rendered ones, which are drawn otherwise by another driver: they are 2 levels off in the
    mean at most. Other numbers are equal to 1e-5.
    """
    if isinstance(found, str) or isinstance(pinned, str):
        return "" if str(found) == str(pinned) else f"{found}, pinned is {pinned}"
    if (found.shape, found.dtype) != (pinned.shape, pinned.dtype):
        return f"{found.dtype} {found.shape}, pinned is {pinned.dtype} {pinned.shape}"
    off = np.abs(found.astype(np.float64) - pinned)
    equal = float((off == 0).mean())
    said = f"{equal:.3%} equal, off by {off.mean():.3g} in the mean and {off.max():.3g} at most"
    if exact:
        return "" if sha256(found) == sha256(pinned) else said
    if name.endswith("/frame"):
        return said if off.mean() > 2 else ""
    if found.dtype == np.uint8:
        return said if off.max() > 1 or equal < 0.99 else ""
    return "" if np.allclose(found, pinned, rtol=1e-5, atol=1e-5) else said


def sha256(array: NDArray[Any]) -> str:
    """Hash type, shape and content of an array."""
    digest = hashlib.sha256(f"{array.dtype} {array.shape} ".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def main() -> int:
    """Write the files, or with ``--check`` say what differs from them; 1 if anything does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, say what differs")
    if not parser.parse_args().check:
        write()
        return 0
    lines = [line for section in SECTIONS for line in differences(section, exact=True)]
    print("\n".join(lines) or "all as pinned, to the bit")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
