"""Factors that change the light of a scene. Each takes its magnitude and draws the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import mujoco

from stemob_wrappers.scene.edit import SceneEdit
from stemob_wrappers.scene.factor import factor
from stemob_wrappers.scene.textures import draw_colour

Vectors = NDArray[np.float64]

STEPS_A_TURN = 60
"""Control steps in which a moving light goes once around its cone."""

_LOWEST = -0.15  # lights keep shining downwards: the largest vertical part of their direction


# --- what a factor needs --------------------------------------------------------------------------


def need_light(edit: SceneEdit) -> str | None:
    """What is missing for a factor that changes lights, or None."""
    return None if edit.model.nlight else "a light (it has the headlight only)"


def need_aimed_light(edit: SceneEdit) -> str | None:
    """What is missing for a factor that turns lights, or None."""
    kinds = getattr(mujoco, "mjtLightType", None)
    if kinds is None:  # MuJoCo 3.3.0 has no others
        aimed = edit.model.nlight > 0
    else:
        wanted = [int(kinds.mjLIGHT_SPOT), int(kinds.mjLIGHT_DIRECTIONAL)]
        aimed = np.isin(edit.model.light_type, wanted).any()
    return None if aimed else "a spot or directional light"


def need_headlight(edit: SceneEdit) -> str | None:
    """What is missing for a factor that changes the headlight, or None."""
    return None if edit.model.vis.headlight.active else "the headlight switched on"


def need_shadows(edit: SceneEdit) -> str | None:
    """What is missing for shadows, or None."""
    if not edit.model.vis.quality.shadowsize:
        return "a shadow map (its vis.quality.shadowsize is 0)"
    return need_aimed_light(edit)


# --- factors -------------------------------------------------------------------------------------


@factor(
    "light_position",
    (0.1, 0.25, 0.5, 0.8, 1.2, 1.7),
    "metres sideways; each light stays aimed at the point it was aimed at",
    need_aimed_light,
    libero_plus="Light Conditions",
    elsewhere="robosuite: ±0.1 m; RL-ViGen: ±100 m, off by default (both leave the direction, "
    "so that a directional light, which most scenes have, shines as before)",
)
def position(edit: SceneEdit, rng: np.random.Generator, metres: float) -> dict[str, Any]:
    """Move the lights sideways; each stays aimed at the point it was aimed at."""
    azimuth = rng.uniform(0.0, 2.0 * np.pi)
    shift = metres * np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    pos, direction = edit.model.light_pos, edit.model.light_dir
    # How far to the floor, where a light shines on it; else about an arm's length.
    height, sink = np.abs(pos[:, 2]), -direction[:, 2]
    distance = np.where(sink > 0.2, np.clip(height / np.maximum(sink, 0.2), 0.5, 10.0), 1.0)
    target = pos + direction * distance[:, None]
    _move(edit, shift)
    aim = target - edit.model.light_pos
    _aim(edit, aim / np.linalg.norm(aim, axis=1, keepdims=True))
    return {"metres": metres, "azimuth_degrees": float(np.degrees(azimuth))}


@factor(
    "light_direction",
    (4, 10, 18, 28, 40, 55),
    "degrees",
    need_aimed_light,
    libero_plus="Light Conditions",
    elsewhere="robosuite: up to 20°; RL-ViGen: 50 rad, that is any, off by default",
)
def direction(edit: SceneEdit, rng: np.random.Generator, degrees: float) -> dict[str, Any]:
    """Turn the lights where they are."""
    azimuth = rng.uniform(0.0, 2.0 * np.pi)
    _aim(edit, _tilted(edit.model.light_dir, degrees, [azimuth])[0])
    return {"degrees": degrees, "azimuth_degrees": float(np.degrees(azimuth))}


@factor(
    "light_intensity",
    (1.1, 1.25, 1.5, 2.0, 2.75, 4.0),
    "factor, or its inverse",
    need_light,
    libero_plus="Light Conditions",
    elsewhere="robosuite: ±0.1 on diffuse, ambient, specular; RL-ViGen: ±0.3, off by default",
)
def intensity(edit: SceneEdit, rng: np.random.Generator, factor: float) -> dict[str, Any]:
    """Make all lights brighter or darker."""
    factor = _either_way(rng, factor)
    for field in ("light_diffuse", "light_ambient", "light_specular"):
        edit.set(field, getattr(edit.model, field) * factor)
    return {"factor": factor}


@factor(
    "light_colour",
    (0.05, 0.15, 0.3, 0.5, 0.7, 0.95),
    "saturation of the tint, at the same brightness",
    need_light,
    colosseum="light_color",
    libero_plus="Light Conditions",
    elsewhere="Colosseum: each of RGB drawn from 0 to 0.5",
)
def colour(edit: SceneEdit, rng: np.random.Generator, saturation: float) -> dict[str, Any]:
    """Give all lights one tint and leave their brightness."""
    hue = draw_colour(rng)
    hue = (hue - hue.min()) / max(float(np.ptp(hue)), 1e-3)  # a pure one
    tint = 1.0 - saturation * (1.0 - hue)
    tint /= tint.mean()
    for field in ("light_diffuse", "light_ambient", "light_specular"):
        edit.set(field, getattr(edit.model, field) * tint)
    return {"saturation": saturation, "rgb": tint.tolist()}


@factor(
    "ambient",
    (1.1, 1.25, 1.5, 2.0, 2.75, 4.0),
    "factor on the headlight, or its inverse",
    need_headlight,
    libero_plus="Light Conditions",
)
def ambient(edit: SceneEdit, rng: np.random.Generator, factor: float) -> dict[str, Any]:
    """Make the headlight, which shines from the camera, brighter or darker."""
    factor = _either_way(rng, factor)
    _scale_headlight(edit, factor)
    return {"factor": factor}


@factor(
    "shadows",
    (0.05, 0.2, 0.4, 0.6, 0.8, 0.95),
    "share of the light that is taken out of the shadows; all lights cast them",
    need_shadows,
    libero_plus="Light Conditions",
)
def shadows(edit: SceneEdit, rng: np.random.Generator, share: float) -> dict[str, Any]:
    """Let all lights cast shadows, and take light out of these."""
    edit.set("light_castshadow", True)
    edit.flags.add(int(mujoco.mjtRndFlag.mjRND_SHADOW))
    _scale_headlight(edit, 1.0 - share)
    edit.set("light_ambient", edit.model.light_ambient * (1.0 - share))
    return {"share": share}


@factor(
    "moving_light",
    (4, 10, 18, 28, 40, 55),
    "half angle in degrees of the cone that the lights go around; "
    f"one turn in {STEPS_A_TURN} steps",
    need_aimed_light,
    elsewhere="RL-ViGen: its option moving_light",
)
def moving(edit: SceneEdit, rng: np.random.Generator, degrees: float) -> dict[str, Any]:
    """Let the lights circle about the direction that they had."""
    circling = Circling(edit, degrees, rng.uniform(0.0, 2.0 * np.pi))
    circling(0)
    edit.each_step.append(circling)
    return {"degrees": degrees, "degrees_a_step": 360.0 / STEPS_A_TURN}


class Circling:
    """Lights on their way around a cone; called with the number of steps taken."""

    def __init__(self, edit: SceneEdit, degrees: float, phase: float) -> None:
        self.edit = edit
        turn = np.linspace(0.0, 2.0 * np.pi, STEPS_A_TURN, endpoint=False)
        self.directions = _tilted(edit.model.light_dir, degrees, phase + turn)

    def __call__(self, step: int) -> None:
        _aim(self.edit, self.directions[step % STEPS_A_TURN])


# --- moving and turning -----------------------------------------------------------------------


def _move(edit: SceneEdit, shift: Vectors) -> None:
    for field in ("light_pos", "light_pos0", "light_poscom0"):  # the last two for tracking lights
        edit.set(field, getattr(edit.model, field) + shift)


def _aim(edit: SceneEdit, directions: Vectors) -> None:
    """Point the lights along unit vectors, one each."""
    for field in ("light_dir", "light_dir0"):
        edit.set(field, directions)


def _tilted(directions: Any, degrees: float, azimuths: Any) -> Vectors:
    """Unit vectors, each tilted to a side: ``[azimuths, lights, 3]``; downwards if they were."""
    sides = np.stack([np.cos(azimuths), np.sin(azimuths), np.zeros(len(azimuths))], axis=-1)
    across = sides[:, None] - (sides @ directions.T)[..., None] * directions
    across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-6)
    angle = np.radians(degrees)
    tilted = np.cos(angle) * directions + np.sin(angle) * across
    other_side = np.cos(angle) * directions - np.sin(angle) * across
    up = (tilted[..., 2] > _LOWEST) & (directions[:, 2] <= _LOWEST)
    return np.where(up[..., None], other_side, tilted)


def _scale_headlight(edit: SceneEdit, factor: float) -> None:
    for field in ("ambient", "diffuse"):
        value = getattr(edit.model.vis.headlight, field)
        edit.set(f"vis.headlight.{field}", np.array(value) * factor)


def _either_way(rng: np.random.Generator, factor: float) -> float:
    return factor if rng.random() < 0.5 else 1.0 / factor
