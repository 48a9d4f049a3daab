"""The page of all factors, their magnitudes and what they answer to elsewhere, as Markdown.

docs/perturbations.md is what this prints::

    python -m stemob_wrappers.perturb.markdown > docs/perturbations.md
"""

from __future__ import annotations

from stemob_wrappers.perturb.corruptions import CORRUPTIONS
from stemob_wrappers.perturb.factors import FACTORS, GROUPS
from stemob_wrappers.perturb.names import SEVERITIES
from stemob_wrappers.perturb.suites import PROTOCOLS, SUITES
from stemob_wrappers.scene.textures import FAMILIES, SPLITS

_INTRODUCTION = """\
# Perturbations

*Printed by `python -m stemob_wrappers.perturb.markdown`.*

`ScenePerturbation` changes how a MuJoCo scene looks, `PixelPerturbation` the finished pictures of
any env. Both draw once an episode. A severity is a band of magnitudes: severity s draws evenly
between the s-th and the next of the six bounds in the tables, and everything else that there is to
draw (sides, hues, directions, textures) freely.
"""

_SOURCES = """\
Where the ranges of others were read:

- robosuite 1.5.2: `robosuite/wrappers/domain_randomization_wrapper.py` (`DEFAULT_COLOR_ARGS`,
  `DEFAULT_CAMERA_ARGS`, `DEFAULT_LIGHTING_ARGS`).
- RL-ViGen (gemcollector/RL-ViGen): `cfgs/setting/robo_setting.yaml`,
  `envs/robosuiteVGB/cfg/robo_config.yaml`.
- The Colosseum (robot-colosseum/robot-colosseum): `colosseum/assets/configs/close_box.yaml`; the
  other tasks have files like it, with ranges of their own.
- LIBERO-Plus (sylvestf/LIBERO-plus): the categories of
  `libero/libero/benchmark/task_classification.json`; sensor noise from
  `libero/libero/envs/env_wrapper.py`. Its language, robot start and target displacement factors
  change the task, not its looks, and have no counterpart here; nor have The Colosseum's object
  size, friction and mass.
- ImageNet-C (Hendrycks and Dietterich, ICLR 2019): `make_imagenet_c.py`.
"""


def markdown() -> str:
    """The whole page.

    Example:
        >>> markdown().splitlines()[0]
        '# Perturbations'
    """
    scene_rows = [
        (
            f"`{factor.name}`",
            ", ".join(
                group
                for group, members in GROUPS.items()
                if factor.name in members and group not in ("all", "appearance")
            ),
            factor.meaning,
            _numbers(factor.bounds),
            factor.colosseum,
            factor.libero_plus,
            factor.elsewhere,
        )
        for factor in FACTORS.values()
    ]
    pixel_rows = [
        (f"`{c.name}`", c.meaning, _numbers(c.bounds), c.elsewhere) for c in CORRUPTIONS.values()
    ]
    suite_rows = [
        (f"`{name}`", ", ".join(f"`{group}-{s}`" for group in groups for s in SEVERITIES))
        for name, groups in SUITES.items()
        if name != "all"
    ]
    protocol_rows = [
        (f"`{name}`", ", ".join(f"`{factor}` {severity}" for factor, severity in factors.items()))
        for name, factors in PROTOCOLS.items()
    ]
    split_rows = [(name, ", ".join(families)) for name, families in SPLITS.items()]
    parts = [
        _INTRODUCTION,
        "## Scene\n",
        _rows(
            ("factor", "groups", "magnitude", "bounds", "Colosseum", "LIBERO-Plus", "elsewhere"),
            scene_rows,
        ),
        "## Pixels\n\nAll of them are the group `corruption`, which stands for one of them an "
        "episode, and answer to LIBERO-Plus's *Sensor Noise*.\n",
        _rows(("factor", "magnitude", "bounds", "elsewhere"), pixel_rows),
        "## Suites\n\nA cell is a group at one severity; `all` has every cell but those of "
        "`appearance`, which is light, textures, colours and background all at once.\n",
        _rows(("suite", "cells"), suite_rows),
        "`rl-vigen` has RL-ViGen's levels, with a severity for each factor "
        "([how they differ](comparison.md#rl-vigen)).\n",
        _rows(("cell", "factors"), protocol_rows),
        f"## Textures\n\n{len(FAMILIES)} procedural families, split by use; seeds are split too. "
        "Nothing that trains a backbone or picks a default sees `test`.\n",
        _rows(("split", "families"), split_rows),
        "## Sources\n",
        _SOURCES,
    ]
    return "\n".join(parts)


def _rows(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _numbers(bounds: tuple[float, ...]) -> str:
    return ", ".join(f"{bound:g}" for bound in bounds)


if __name__ == "__main__":
    print(markdown(), end="")
