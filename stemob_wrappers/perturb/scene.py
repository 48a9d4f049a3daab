"""ScenePerturbation: the same task under other light, textures, colours and views."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from stemob_wrappers.perturb.factors import FACTORS, GROUPS, keep_possible
from stemob_wrappers.perturb.names import FactorNames, choose, plain
from stemob_wrappers.scene.materials import TextureSource
from stemob_wrappers.scene.simulation import find_simulation
from stemob_wrappers.scene.textures import SPLITS
from stemob_wrappers.splits import Split, draw_seed

# Keeps this wrapper's draws apart from the env's own, which get the same seed.
_STREAM = 0x5CE4E


class ScenePerturbation(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Change how a MuJoCo scene looks, anew in each episode, and nothing of what happens in it.

    The model is found beneath any wrappers: robosuite (``stemob/…`` ids or its own envs),
    Gymnasium's and Gymnasium-Robotics' MuJoCo envs and what is built on them. What is changed is
    saved first; the next reset, or `restore`, gives it back bit for bit. The draw comes from a
    generator of this wrapper's own, so that states, rewards and the task's randomness are those of
    the unperturbed env. A reset that rebuilds the model has the same change applied to the new one.

    ``info["perturbation"]`` of each reset and step says what is applied: a dict from each factor to
    its numbers, and the episode's number, from which all is drawn, under ``"episode"``.

    The observation of the env below must be rendered after its own reset began, as every env does
    that is named above. Wrap before `StemObservation`: ``StemObservation(ScenePerturbation(env))``.

    Args:
        env: an env with a MuJoCo model beneath.
        factors: a factor or group (``lighting``, ``texture``, ``colour``, ``background``,
            ``camera``, ``distractors``, ``all``), several of them, or a mapping from these to
            severities. docs/perturbations.md lists them with their magnitudes.
        severity: 1 (slight) to 5 (severe), for all that have none of their own.
        seed: of the draws; ``reset(seed=)`` starts them anew from both seeds.
        split: the texture families and seeds to draw from; "test" is what results are reported on,
            and nothing that trains may see it.
        texture_folder: a folder of image files to take textures from instead.

    Raises:
        ValueError: no MuJoCo model (use `PixelPerturbation`), an unknown factor, severity or split,
            a factor named by itself that this env lacks the means for, a folder without images or
            with a file that is none. The model is untouched then.

    Warns:
        UserWarning: members of a group that are left out, as the env lacks what they need.

    Example:
        >>> import gymnasium as gym
        >>> from stemob_wrappers.perturb import ScenePerturbation
        >>> env = gym.make("stemob_wrappers:stemob/Lift-v0")
        >>> env = ScenePerturbation(env, factors=["light_direction", "table_texture"], severity=3)
        >>> observation, info = env.reset(seed=0)
        >>> sorted(info["perturbation"])
        ['episode', 'light_direction', 'table_texture']
        >>> env.close()
    """

    passes_observation = True  # as it is: what changes is the scene

    def __init__(
        self,
        env: gym.Env[Any, Any],
        factors: FactorNames = "all",
        severity: int = 3,
        seed: int | None = None,
        split: Split = "test",
        texture_folder: str | Path | None = None,
    ) -> None:
        folder = None if texture_folder is None else str(texture_folder)
        RecordConstructorArgs.__init__(
            self,
            factors=plain(factors),
            severity=severity,
            seed=seed,
            split=split,
            texture_folder=folder,
        )
        gym.Wrapper.__init__(self, env)
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}.")
        if seed is not None and seed < 0:
            raise ValueError(f"seed must be 0 or more, or None; got {seed}.")
        _refuse_nesting(env)
        chosen = choose(factors, severity, FACTORS, GROUPS)
        self._simulation = find_simulation(env)
        self._textures = TextureSource(split, folder)
        self._simulation.restore()  # from an earlier wrapper of the same env
        self._edit = self._simulation.new_edit()
        self._choices = keep_possible(chosen, self._edit)
        self._split: Split = split
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._episode = 0
        self._steps = 0
        self._applied: dict[str, Any] = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Draw and apply the changes of the episode that begins, then reset the env.

        Args:
            seed: decides the changes, together with the constructor's; goes to the env as well.
            options: for the env.
        """
        if seed is not None:
            self._rng = np.random.default_rng([_STREAM, seed, self._seed or 0])
        self._episode = draw_seed(self._split, self._rng)
        self._simulation.make_way(self._edit)
        self._simulation.after_rebuild = self._follow_rebuild
        self._apply()
        observation, info = self.env.reset(seed=seed, options=options)
        self._simulation.attach_renderers()
        if self._simulation.model is not self._edit.model:
            self._apply()
            warnings.warn(
                f"{self.env.unwrapped} built a new model within its reset, unseen from outside: "
                "the first observation of each such episode shows the unperturbed scene.",
                stacklevel=2,
            )
        return observation, self._with_report(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the env; of all factors only moving lights and backgrounds change here."""
        self._steps += 1
        for change in self._edit.each_step:
            change(self._steps)
        fresh = self._edit.take_fresh_textures()
        if fresh:
            self._simulation.upload(fresh)
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, self._with_report(info)

    def restore(self) -> None:
        """Give the model back as it was, bit for bit; the next reset changes it again."""
        self._simulation.restore()
        self._applied = {}

    def _apply(self) -> None:
        """Apply the episode's changes to the model as it is now."""
        if self._simulation.model is not self._edit.model:
            self._edit = self._simulation.new_edit()
        edit, self._steps = self._edit, 0
        self._applied = {
            choice.name: FACTORS[choice.name].apply(
                edit, choice.severity, self._episode, self._textures
            )
            for choice in self._choices
        }
        self._simulation.edit = edit
        self._simulation.place_lights_and_cameras()
        self._simulation.upload(edit.take_changed_textures())

    def _follow_rebuild(self) -> None:
        if self._simulation.edit is not None and self._simulation.model is not self._edit.model:
            self._apply()

    def _with_report(self, info: dict[str, Any]) -> dict[str, Any]:
        report: dict[str, Any] = {name: dict(values) for name, values in self._applied.items()}
        if report:
            report["episode"] = self._episode
        return {**info, "perturbation": report}


def _refuse_nesting(env: Any) -> None:
    layer = env
    while layer is not None:
        if isinstance(layer, ScenePerturbation):
            raise ValueError(
                "this env is inside a ScenePerturbation already: name all factors in one, with a "
                'severity each, as factors={"lighting": 3, "table_texture": 1}.'
            )
        layer = getattr(layer, "env", None)
