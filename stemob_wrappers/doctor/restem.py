"""Stem frames of a converted file, made again from new renders: which view, which level?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets.stems import Stems
from stemob_wrappers.doctor.explain import SAME, TURNS, Draw, View, find_view
from stemob_wrappers.doctor.findings import Finding
from stemob_wrappers.doctor.sample import Sample

Frames = NDArray[np.uint8]
Remake = Callable[[Frames], Frames]

LEVELS = (1, 2, 3, 5, 8, 10, 15, 20, 25, 30, 35, 40, 45, 50)
PROBED = 2  # frames that views and levels are tried on where renders are the source's to the bit
DRAWS = 4  # of noise, to compare with where they are not
BAND = 0.1  # of the logarithm of distances: less than from 15 to 20 steps
NEAR = 1.03  # times the nearest: no reason to believe in a less usual view


def find_stem_view(
    key: str, sample: Sample, draw: Draw, cameras: list[str], device: str | None
) -> tuple[View, list[Finding], Remake]:
    """Return what explains stem frames, findings about them, and what makes them of renders.

    Noise is drawn by a frame's content, so only renders that are equal to the source's to the last
    bit give its stem frames again. Where they are not (another driver; frames recorded in motion),
    stored frames should lie as far from draws of noise as another draw does; a change that small,
    such as BGR of a grey scene, then goes unseen.

    Args:
        key: name of the image.
        sample: of a converted file.
        draw: the sample's states from a camera at a quality.
        cameras: names, that which the image should show first.
        device: where the backbone runs.
    """
    maker = _Maker(key, sample, draw, device)
    assert sample.made_by is not None
    config = StemConfig.from_dict(sample.made_by["config"])
    findings = _judge_weights(key, maker.stems(config), sample)
    for view in _views(cameras):
        apart = maker.apart(config, view)
        if apart <= SAME:
            return replace(view, apart=apart), findings, maker.remake(config)
    raw = find_view(sample.frames[key], draw, cameras)
    if raw.apart <= SAME:
        seen = f"the renders themselves are {raw.apart:.1f} grey levels apart"
        return raw, [*findings, Finding("not stem frames", key, seen)], lambda frames: frames
    others = [
        config.replace(inversion_steps=steps)
        for steps in LEVELS
        if steps <= config.num_steps and steps != config.inversion_steps
    ]
    view, found = maker.match(config, others, cameras)
    if found is not None and found != config:
        seen = f"{found.inversion_steps} inversion steps, where the file says "
        seen += str(config.inversion_steps)
        findings.append(Finding("wrong stem level", key, seen))
    return view, findings, maker.remake(found or config)


@dataclass(frozen=True)
class _Maker:
    """Makes stem frames of a sample's renders as a conversion would, and compares them."""

    key: str
    sample: Sample
    draw: Draw
    device: str | None

    def stems(self, config: StemConfig) -> Stems:
        made_by = self.sample.made_by
        assert made_by is not None
        draws, dtype = made_by["draws"], made_by["dtype"]
        return Stems(config, draws=draws, cache=False, device=self.device, dtype=dtype)

    def remake(self, config: StemConfig) -> Remake:
        """What turns renders of the first moments, or all, into stem frames, one by one."""
        stems = self.stems(config)

        def remake(frames: Frames) -> Frames:
            made = [
                stems(frame[None], at.draw, episode=at.source, rows=[at.name(self.key)])
                for frame, at in zip(frames, self.sample.moments, strict=False)
            ]
            return np.concatenate(made)

        return remake

    def apart(self, config: StemConfig, view: View) -> float:
        """How far stored frames are from those that a view of the states gives."""
        made = self.remake(config)(self._renders(view)[:PROBED])
        return _apart(self.sample.frames[self.key][:PROBED], made)

    def match(
        self, config: StemConfig, others: list[StemConfig], cameras: list[str]
    ) -> tuple[View, StemConfig | None]:
        """The view and the config that explain stored frames up to their noise; None if none."""
        usual = View(cameras[0])
        for other in others:  # to the bit, but for the level
            if self.apart(other, usual) <= SAME:
                return replace(usual, apart=0.0), other
        tried: list[tuple[float, float, View]] = []
        best = usual
        for group in (cameras[:1], cameras[1:]):
            tried += [(*self._distances(config, view), view) for view in _views(group)]
            nearest = min(apart for apart, _, _ in tried)
            apart, noise, best = next(each for each in tried if each[0] <= NEAR * nearest)
            best = replace(best, apart=abs(apart - noise))
            if _off(apart, noise) < BAND:
                return best, config
        off = {other: _off(*self._distances(other, best)) for other in others}
        closest = min(others, key=lambda other: off[other])
        return (best, closest) if off[closest] < BAND else (replace(best, apart=np.inf), None)

    def _renders(self, view: View) -> Frames:
        return view.apply(self.draw(view.camera, view.quality))

    def _distances(self, config: StemConfig, view: View) -> tuple[float, float]:
        """How far stored frames are from the mean of draws of noise, and how far another draw."""
        stored, renders = self.sample.frames[self.key], self._renders(view)
        beyond = config.seed + 1000  # none of the file's own draws
        draws = [self.remake(config.replace(seed=beyond + i))(renders) for i in range(DRAWS)]
        total = np.sum(draws, axis=0, dtype=np.float32)
        means = [(total - each) / (DRAWS - 1) for each in draws]
        apart = np.mean([np.abs(stored - mean).mean() for mean in means])
        noise = np.mean(
            [np.abs(each - mean).mean() for each, mean in zip(draws, means, strict=True)]
        )
        return float(apart), float(noise)


def _off(apart: float, noise: float) -> float:
    """By how much frames differ more, or less, than another draw of noise makes them."""
    return abs(float(np.log(max(apart, 1e-9) / max(noise, 1e-9))))


def _views(cameras: list[str]) -> list[View]:
    return [
        View(camera, quality, turn, channels)
        for camera in cameras
        for quality in ("full", "fast")
        for channels in ("RGB", "BGR")
        for turn in TURNS
    ]


def _judge_weights(key: str, stems: Stems, sample: Sample) -> list[Finding]:
    assert sample.made_by is not None
    ours, theirs = stems.pipelines[0].identity, sample.made_by["identity"]
    differing = [
        f"{name}: {theirs.get(name)!r} in the file, {ours.get(name)!r} here"
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    ]
    if stems.pipelines[0].fingerprint == sample.made_by["fingerprint"] and not differing:
        return []
    seen = f"{sample.made_by['fingerprint']} in the file, its config gives "
    seen += f"{stems.pipelines[0].fingerprint} here ({'; '.join(differing) or 'same identity'})"
    return [Finding("wrong fingerprint", key, seen)]


def _apart(one: Frames, other: Frames) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())
