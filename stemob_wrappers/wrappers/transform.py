"""ObservationTransform: the images of observations through pipelines, one call per frame size.

The wrappers of one env and of many share it; it knows spaces, not envs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from stemob_wrappers.cache import CacheLike, as_cache
from stemob_wrappers.config import FIELDS, ConfigFields, StemConfig, as_config, nearest
from stemob_wrappers.stem.frames import MIN_SIDE, FrameLayout, find_layout
from stemob_wrappers.stem.pipeline import StemPipeline, StemStats
from stemob_wrappers.stem.provenance import check_expect
from stemob_wrappers.stem.resize import given_layout
from stemob_wrappers.wrappers.spaces import Path, all_names, below, find_images, get, name, replace

Keys = Sequence[str] | Mapping[str, Mapping[str, Any] | None] | None


class StemOptions(ConfigFields, total=False):
    """What every wrapper of stem frames takes by name, beside ``env`` and ``config``.

    The wrappers are `stemob_wrappers.StemObservation`, `stemob_wrappers.vector.StemObservation` and
    `stemob_wrappers.wrappers.sb3.StemVecEnv`. The fields of `StemConfig` (``backbone``, ``method``,
    ``num_steps``, ``inversion_steps``, ``noise``, ``seed``, ``codec``, ``revision``,
    ``resolution``, ``resize``, ``aspect``, ``output``) are options too, on top of ``config``.

    Attributes:
        keys: None for every image; a list of names (``"images/front"`` where nested) for just
            these; a mapping from a name to its own StemConfig fields, or to None to leave it raw.
            An image whose name speaks of depth, segmentation, mask, normal or flow is one only if
            it is named here.
        cache: a FrameCache to share, or the path of a folder to keep frames in; None keeps them in
            memory (or in the folder that STEMOB_CACHE names), False not at all.
        expect: fingerprint or identity of the frames that the policy was trained on, or the path of
            that data set; another one is an error that shows the differing fields.
        keep_raw: keep the untouched image too, as ``<key>_raw`` beside the stem frame; a bare image
            becomes a Dict of ``pixels`` and ``pixels_raw``.
        device: where the backbone runs; None takes CUDA where there is some, else the CPU.
        dtype: floating type that it runs in, as torch names it.
        engine: what computes, ``"auto"``, ``"onnxruntime"`` or ``"torch"``; see `StemPipeline`.
        threads: processor threads that it uses; None is what STEMOB_THREADS says, or 4 at most.
    """

    keys: Keys
    cache: CacheLike
    expect: str | dict[str, Any] | None
    keep_raw: bool
    device: str | None
    dtype: str
    engine: str
    threads: int | None


OPTIONS = tuple(name for name in StemOptions.__annotations__ if name not in FIELDS)


def read_options(
    config: StemConfig | dict[str, Any] | None, options: StemOptions
) -> tuple[StemConfig, dict[str, Any]]:
    """Return the config with the fields among a wrapper's options on top, and the other options.

    Raises:
        ValueError: an unknown name, with the nearest; or a value that the config cannot have.
        TypeError: a config that is none.

    Example:
        >>> read_options({"seed": 1}, {"inversion_steps": 15, "keep_raw": True})[1]
        {'keep_raw': True}
    """
    given: dict[str, Any] = {**options}
    for option in given:
        if option not in (*OPTIONS, *FIELDS):
            raise ValueError(f"unknown option {option!r}; {nearest(option, (*OPTIONS, *FIELDS))}")
    fields = {option: given.pop(option) for option in FIELDS if option in given}
    return as_config(config).replace(**fields), given


class ObservationTransform:
    """Turn the images of observations of one space into stem frames.

    Args:
        space: observation space of one env.
        config: the level of every key that has none of its own.
        keys, cache, expect, keep_raw: as in :class:`StemOptions`.
        run: ``device``, ``dtype``, ``engine`` and ``threads``, as StemPipeline takes them.

    Attributes:
        observation_space: the space of the transformed observations.
        pipelines: the StemPipeline of each touched key.

    Raises:
        ValueError: the space has no image, a name in ``keys`` is none of its images, or another
            fingerprint than the expected one.
    """

    def __init__(
        self,
        space: spaces.Space,
        config: StemConfig,
        *,
        keys: Keys = None,
        cache: CacheLike = None,
        expect: str | dict[str, Any] | None = None,
        keep_raw: bool = False,
        **run: Any,
    ) -> None:
        images = _find_images(space, keys)
        if not images:
            raise ValueError(
                "the observation has no RGB image (uint8 in [0, 255] or float in [0, 1]); it has "
                f"{', '.join(all_names(space))}. {_advice(space)}"
            )
        self._layouts, configs = _choose(images, config, keys)
        shared = as_cache(cache)
        shared = False if shared is None else shared
        built: dict[StemConfig, StemPipeline] = {}
        for key_config in configs.values():
            if key_config not in built:
                built[key_config] = StemPipeline(key_config, shared, **run)
        self._pipelines = {path: built[key_config] for path, key_config in configs.items()}
        self._raw_paths = {path: _raw_path(path, space) for path in configs} if keep_raw else {}
        self.observation_space = _space_with_raw(space, self._resized(space), self._raw_paths)
        self.pipelines = {name(path): pipeline for path, pipeline in self._pipelines.items()}
        if expect is not None:
            identities = {key: pipeline.identity for key, pipeline in self.pipelines.items()}
            check_expect(expect, identities, [name(path) for path in images])
        self.warmup()

    @property
    def stats(self) -> dict[str, StemStats]:
        """What the pipeline of each touched key has done so far."""
        return {key: pipeline.stats for key, pipeline in self.pipelines.items()}

    def _resized(self, space: spaces.Space) -> spaces.Space:
        """The space of the stem frames: a config may give them back smaller."""
        boxes: dict[Path, Any] = {}
        for path, layout in self._layouts.items():
            given = given_layout(self._pipelines[path].config, layout)
            if given != layout:
                box: Any = get(space, path)
                high = 1.0 if layout.floating else 255
                boxes[path] = spaces.Box(0, high, given.shape, box.dtype.type)
        return _with_boxes(space, boxes)

    @property
    def learned_from(self) -> dict[str, Any]:
        """What a policy keeps that learns from these observations; see `made_by.learned_from`."""
        fingerprints = {key: pipeline.fingerprint for key, pipeline in self.pipelines.items()}
        pipeline, *others = self.pipelines.values()
        alike = all(other.fingerprint == pipeline.fingerprint for other in others)
        return {
            "fingerprint": pipeline.fingerprint if alike else fingerprints,
            "config": pipeline.config.to_dict() if alike else None,
            "converted": list(self.pipelines),
        }

    def __call__(self, parts: Sequence[tuple[Any, Sequence[bytes]]]) -> list[Any]:
        """Transform several observations, all their frames of one size in one pipeline call.

        Args:
            parts: pairs of an observation, with or without a batch dimension, and the episode key
                of each env in it.

        Returns:
            the transformed observations in the same order; none that was given is mutated.
        """
        taken: dict[tuple[StemPipeline, int, int], list[_Taken]] = {}
        for index, (observation, episodes) in enumerate(parts):
            for path, layout in self._layouts.items():
                image = get(observation, path)
                frames = layout.to_frames(image)
                keys = [key for key in episodes for _ in range(layout.count)]
                group = (self._pipelines[path], layout.height, layout.width)
                taken.setdefault(group, []).append((index, path, image, frames, keys))
        changes: list[dict[Path, Any]] = [{} for _ in parts]
        for (pipeline, _, _), items in taken.items():
            episodes = [key for item in items for key in item[4]]
            stems = pipeline(_concatenate([item[3] for item in items]), episodes=episodes)
            first = 0
            for index, path, image, frames, _ in items:
                stem = self._layouts[path].from_frames(stems[first : first + len(frames)], image)
                first += len(frames)
                changes[index][path] = stem
                if path in self._raw_paths:
                    changes[index][self._raw_paths[path]] = image
        return [
            self._assemble(observation, change)
            for (observation, _), change in zip(parts, changes, strict=True)
        ]

    def begin(self, episodes: Sequence[bytes]) -> None:
        """Begin the episodes of these keys, whose noise is that of no episode before."""
        for pipeline in self.pipelines.values():
            pipeline.begin(episodes)

    def warmup(self) -> None:
        """Run every pipeline once on each of its frame sizes."""
        for path, layout in self._layouts.items():
            self._pipelines[path].warmup((layout.height, layout.width))

    def _assemble(self, observation: Any, change: dict[Path, Any]) -> Any:
        if self._raw_paths and () in self._layouts:
            return {"pixels": change[()], "pixels_raw": change[("pixels_raw",)]}
        return replace(observation, change)


def _advice(space: spaces.Space) -> str:
    """What to do with an env that observes no RGB image that could be found."""
    boxes = [box for box in _boxes(space) if len(box.shape) >= 2 and min(box.shape[-2:]) >= 1]
    for box in boxes:
        if np.issubdtype(box.dtype, np.floating) and find_layout(box.shape, box.dtype):
            return (
                f"Floats of shape {box.shape} lie in [{box.low.min():g}, {box.high.max():g}]: "
                "divide them by 255, or cast them to uint8, with "
                "gymnasium.wrappers.TransformObservation, and say so in its space"
            )
        plain = [side for side in box.shape if side != 1]
        if box.dtype == np.uint8 and len(plain) == 2 and min(plain) >= MIN_SIDE:
            return (
                f"Grey images of shape {box.shape} have no colour to invert: have the env give "
                "RGB, or repeat the channel three times with "
                "gymnasium.wrappers.TransformObservation"
            )
    return (
        "Render the env instead: stemob_wrappers.make(id, size=84), or "
        "stemob_wrappers.wrappers.rendering.RenderObservation(env, size=84)"
    )


def _boxes(space: spaces.Space) -> list[spaces.Box]:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        children = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        return [box for child in children for box in _boxes(child)]
    return [space] if isinstance(space, spaces.Box) else []


_Taken = tuple[int, Path, Any, Any, list[bytes]]


def _find_images(space: spaces.Space, keys: Keys) -> dict[Path, FrameLayout]:
    """The images of a space; one that ``keys`` names is one whatever its name says."""
    named = {keys} if isinstance(keys, str) else set(keys or ())
    guessed = find_images(space)
    return {
        path: layout
        for path, layout in find_images(space, any_name=True).items()
        if path in guessed or name(path) in named
    }


def _choose(
    images: dict[Path, FrameLayout], config: StemConfig, keys: Keys
) -> tuple[dict[Path, FrameLayout], dict[Path, StemConfig]]:
    """Return the layout and the config of each key that is to be touched."""
    by_name = {name(path): path for path in images}
    keys = [keys] if isinstance(keys, str) else keys
    for key in keys or ():
        if key not in by_name:
            raise ValueError(
                f"keys names {key!r}, which is no RGB image of this env; its images are "
                f"{', '.join(map(repr, by_name))}"
            )
    if keys is None:
        configs = dict.fromkeys(images, config)
    elif isinstance(keys, Mapping):
        configs = {}
        for key, path in by_name.items():
            own = keys.get(key, {})
            if own is not None:
                configs[path] = config.replace(**own)
    else:
        configs = {by_name[key]: config for key in keys}
    if not configs:
        raise ValueError(f"keys leaves no image to transform out of {', '.join(by_name)}")
    return {path: images[path] for path in configs}, configs


def _raw_path(path: Path, space: spaces.Space) -> Path:
    if path == ():
        return ("pixels_raw",)
    parent = get(space, path[:-1])
    if not isinstance(parent, spaces.Dict):
        raise ValueError(
            f"keep_raw adds a key beside {name(path)!r}, but that lies in a Tuple; "
            "turn the Tuple into a Dict first"
        )
    raw = f"{path[-1]}_raw"
    if raw in parent.spaces:
        raise ValueError(f"keep_raw needs the key {raw!r}, which the observation already has")
    return (*path[:-1], raw)


def _with_boxes(space: spaces.Space, boxes: dict[Path, spaces.Space]) -> spaces.Space:
    """Return a space with the Boxes at some paths exchanged."""
    if () in boxes or not boxes:
        return boxes.get((), space)
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple(
            [_with_boxes(child, below(boxes, key)) for key, child in enumerate(space.spaces)]
        )
    assert isinstance(space, spaces.Dict)  # a path leads on through these two alone
    return spaces.Dict(
        {key: _with_boxes(child, below(boxes, key)) for key, child in space.spaces.items()}
    )


def _space_with_raw(
    raw: spaces.Space, stem: spaces.Space, raw_paths: dict[Path, Path]
) -> spaces.Space:
    if not raw_paths:
        return stem
    if () in raw_paths:
        return spaces.Dict(pixels=stem, pixels_raw=raw)
    added = {kept: get(raw, path) for path, kept in raw_paths.items()}
    return _extend(stem, added)


def _extend(space: spaces.Space, added: dict[Path, spaces.Space]) -> spaces.Space:
    """Return a space with Boxes added at paths whose last part is a new key of a Dict."""
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple(
            [_extend(child, below(added, key)) for key, child in enumerate(space.spaces)]
        )
    if not isinstance(space, spaces.Dict):
        return space
    children = {key: _extend(child, below(added, key)) for key, child in space.spaces.items()}
    new = {str(path[0]): box for path, box in added.items() if len(path) == 1}
    return spaces.Dict(children | new)


def _concatenate(batches: list[Any]) -> Any:
    if len(batches) == 1:
        return batches[0]
    if isinstance(batches[0], np.ndarray):
        return np.concatenate(batches)
    import torch

    return torch.cat(batches)
