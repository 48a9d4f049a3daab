"""Stem frames of a converted file, made again from new renders: which view, which level?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets.stems import Stems
from stemob_wrappers.doctor.findings import Finding
from stemob_wrappers.doctor.sample import Sample
from stemob_wrappers.doctor.views import SAME, TURNS, Draw, View, find_view

Frames = NDArray[np.uint8]
Remake = Callable[[Frames], Frames]

LEVELS = (1, 2, 3, 5, 8, 10, 15, 20, 25, 30, 35, 40, 45, 50)
PROBED = 2  # frames that views and levels are tried on
BAND = 0.07  # of the logarithm: less than from 15 to 20 steps
NEAR = 1.03  # times the nearest: no reason to believe in a less usual view


def find_stem_view(
    key: str, sample: Sample, draw: Draw, cameras: list[str], device: str | None
) -> tuple[View, list[Finding], Remake]:
    """Return what explains stem frames, findings about them, and what makes them of renders.

    Noise is drawn by a frame's content, so only renders that are equal to the source's to the last
    bit give its stem frames again. Where they are not (another driver; frames recorded in motion),
    they are compared with how far apart two draws of noise are; a change that small, such as BGR of
    a grey scene, then goes unseen.

    Args:
        key: name of the image.
        sample: of a converted file.
        draw: the sample's states from a camera at a quality.
        cameras: names, that which the image should show first.
        device: where the backbone runs.
    """
    maker = _Maker(key, sample, device)
    assert sample.made_by is not None
    stored = sample.frames[key][:PROBED]
    config = StemConfig.from_dict(sample.made_by["config"])
    findings = _judge_weights(key, maker.stems(config), sample)
    remake = maker.remake(config)

    def renders(view: View) -> Frames:
        return view.apply(draw(view.camera, view.quality)[:PROBED])

    tried: list[View] = []
    for group in (cameras[:1], cameras[1:]):
        for plain in _views(group):
            tried.append(replace(plain, apart=_apart(stored, remake(renders(plain)))))
            if tried[-1].apart <= SAME:
                return tried[-1], findings, remake
        nearest = min(view.apart for view in tried)
        best = next(view for view in tried if view.apart <= NEAR * nearest)
        noise = maker.noise(config, renders(best))
        if _alike(best.apart, noise):
            return replace(best, apart=abs(best.apart - noise)), findings, remake
    raw = find_view(sample.frames[key], draw, cameras)
    if raw.apart <= SAME:
        seen = f"the renders themselves are {raw.apart:.1f} grey levels apart"
        return raw, [*findings, Finding("not stem frames", key, seen)], lambda frames: frames
    other = _find_level(stored, renders(best), maker, config)
    if other is None:
        return best, findings, remake
    seen = f"{other.inversion_steps} inversion steps, where the file says {config.inversion_steps}"
    findings.append(Finding("wrong stem level", key, seen))
    return replace(best, apart=0.0), findings, maker.remake(other)


def _find_level(
    stored: Frames, renders: Frames, maker: _Maker, config: StemConfig
) -> StemConfig | None:
    """The config with the level that explains stem frames of these renders."""
    for level in LEVELS:
        if level > config.num_steps or level == config.inversion_steps:
            continue
        other = config.replace(inversion_steps=level)
        apart = _apart(stored, maker.remake(other)(renders))
        if apart <= SAME or _alike(apart, maker.noise(other, renders)):
            return other
    return None


@dataclass(frozen=True)
class _Maker:
    """Makes stem frames of a sample's renders as a conversion would."""

    key: str
    sample: Sample
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

    def noise(self, config: StemConfig, renders: Frames) -> float:
        """How far apart two draws of noise make the stem frames of the same renders."""
        draws = self.sample.made_by["draws"] if self.sample.made_by else 1
        other = config.replace(seed=config.seed + draws)
        return _apart(self.remake(config)(renders), self.remake(other)(renders))


def _alike(apart: float, noise: float) -> bool:
    """Whether frames differ as much as another draw of noise makes them, no more and no less."""
    return bool(np.exp(-BAND) < apart / max(noise, 1e-9) < np.exp(BAND))


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
