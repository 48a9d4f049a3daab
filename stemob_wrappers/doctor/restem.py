"""Stem frames of a converted file, made again from new renders: which view, which level?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

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
EQUAL = 0.5  # mean grey levels: less than a level beside it makes with the same noise
DRAWS = 4  # of noise, to compare with where renders are other bits
NOISE = 1.5  # times as far as another draw of noise lies, and no further


class Explanation(NamedTuple):
    """What explains the frames of an image.

    Attributes:
        view: of the scene; its ``apart`` tells whether it does.
        findings: about stem frames.
        remake: what makes such frames of renders.
        config: what made them, if they are stem frames.
    """

    view: View
    findings: list[Finding]
    remake: Remake
    config: StemConfig | None = None


def find_stem_view(
    key: str, sample: Sample, draw: Draw, cameras: list[str], device: str | None
) -> Explanation:
    """Return what explains stem frames.

    Noise is drawn by a frame's content, so only renders that are equal to the source's to the last
    bit give its stem frames again. Where they are not (another driver; frames recorded in motion),
    stored frames should lie as far from draws of noise as another draw does. That tells turns and
    cameras; what changes frames less than noise, a level or the order of colours, it does not.

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
        if apart <= EQUAL:
            return Explanation(replace(view, apart=apart), findings, maker.remake(config), config)
    if draw(cameras[0], "full").shape == sample.frames[key].shape:  # they may be smaller
        raw = find_view(sample.frames[key], draw, cameras)
        if raw.apart <= SAME:
            seen = f"the renders themselves are {raw.apart:.1f} grey levels apart"
            findings.append(Finding("not stem frames", key, seen))
            return Explanation(raw, findings, lambda frames: frames)
    usual = View(cameras[0])
    apart_by_level = {
        other: maker.apart(other, usual)
        for other in (config.replace(inversion_steps=steps) for steps in LEVELS)
        if other.inversion_steps <= config.num_steps
    }
    closest = min(apart_by_level, key=lambda other: apart_by_level[other])
    if apart_by_level[closest] <= EQUAL:
        seen = f"{closest.inversion_steps} inversion steps, where the file says "
        seen += str(config.inversion_steps)
        findings.append(Finding("wrong stem level", key, seen))
        view = replace(usual, apart=apart_by_level[closest])
        return Explanation(view, findings, maker.remake(closest), closest)
    return Explanation(maker.nearest(config, cameras), findings, maker.remake(config), config)


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

    def nearest(self, config: StemConfig, cameras: list[str]) -> View:
        """The view that explains stored frames but for their noise; infinitely apart if none."""
        tried: list[tuple[float, float, View]] = []
        for group in (cameras[:1], cameras[1:]):
            views = [View(camera, turn=turn) for camera in group for turn in TURNS]
            tried += [(*self._distances(config, view), view) for view in views]
            apart, noise, best = min(tried, key=lambda each: each[0])
            if apart <= NOISE * noise:
                return replace(best, apart=0.0)
        return View(cameras[0])

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
