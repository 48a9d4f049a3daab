"""What a CUDA GPU does with frames: its own matmul, every codec, DDIM, and what touches the host.

    python benchmarks/gpu.py            # at most 6 minutes; needs a CUDA GPU
    python benchmarks/gpu.py --tiny     # the same on a CPU with tiny networks: does it run?

Networks of true size with random weights, so nothing is downloaded. Frames and noise lie on the
GPU; a batch goes through FrameInverter in bfloat16, replayed from a CUDA graph ("eager": kernel by
kernel). `share` is that of the card's own bf16 matrix product, measured in the same run. Bars: the
KL autoencoder at 512 px at 40 % of it, embedded at 84 px at 100,000 frames/s, no new graph after
warm-up for batches of 1 to 64, no frame copied to the host without a cache. The tests that are
marked `gpu` come first.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from common import print_report, report, seconds_per_call
from original import SD21_AUTOENCODER
from torch.utils.flop_counter import FlopCounterMode

from stemob_wrappers import StemConfig, StemPipeline
from stemob_wrappers.backbones.codecs import wrap_autoencoder
from stemob_wrappers.backbones.families.stable_diffusion import PromptedDenoiser
from stemob_wrappers.backbones.load import Backbone
from stemob_wrappers.backbones.networks import StemAutoencoder
from stemob_wrappers.diffusion.schedule import SD_SCHEDULE, NoiseSchedule
from stemob_wrappers.stem.inverter import FrameInverter

ROOT = Path(__file__).parents[1]
# The codecs, and how many more pixels than the KL autoencoder they take at once.
CODECS = {"embedded": 16, "TAESD": 4, "KL": 1}
KL_BAR, EMBEDDED_BAR = 0.40, 100_000
TESTS_SECONDS = 120.0
COLUMNS = ("what", "size", "batch", "ms", "frames/s", "TFLOP/s", "share", "bar", "met")


@dataclasses.dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
        device: where it runs.
        matmul: side of the matrices whose product is the yardstick.
        sizes, batches: of the codecs' frames.
        ddim_size, ddim_batches: of the frames that DDIM is run on, for `ddim_steps`.
        warm_batches: batches of 1 to so many follow the warm-up.
        pixels: that the KL autoencoder computes at once; others take more, see `CODECS`.
        widths: of the networks' four stages; None is Stable Diffusion's.
        seconds: each figure is measured for so long.
        most_seconds: nothing more is begun after so long.
    """

    device: str
    matmul: int
    sizes: tuple[int, ...]
    batches: tuple[int, ...]
    ddim_size: int
    ddim_batches: tuple[int, ...]
    ddim_steps: int
    warm_batches: int
    pixels: int
    widths: tuple[int, ...] | None
    seconds: float
    most_seconds: float


TRUE = Scale(
    device="cuda",
    matmul=8192,
    sizes=(84, 128, 256, 512, 768),
    batches=(1, 16, 256),
    ddim_size=512,
    ddim_batches=(1, 16),
    ddim_steps=10,
    warm_batches=64,
    pixels=16 * 512**2,
    widths=None,
    seconds=0.4,
    most_seconds=330.0,
)
TINY = dataclasses.replace(
    TRUE,
    device="cpu",
    matmul=128,
    sizes=(16,),
    batches=(1, 3),
    ddim_size=16,
    ddim_batches=(1,),
    ddim_steps=2,
    warm_batches=3,
    widths=(8,) * 4,
    seconds=0.001,
)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, on the CPU")
    settings = parser.parse_args(arguments)
    if not (settings.tiny or torch.cuda.is_available()):
        sys.exit("benchmarks/gpu.py needs a CUDA GPU and PyTorch for CUDA; none is found here.")
    scale = TINY if settings.tiny else TRUE
    started = time.perf_counter()
    gpu = torch.cuda.get_device_name() if scale.device == "cuda" else "none: tiny sizes on a CPU"
    tests = "left out: tiny sizes" if settings.tiny else run_tests()
    rate = matmul_rate(scale)
    rows = list(measure_all(scale, rate, started))
    write = print_report if settings.tiny else report
    write(
        "gpu",
        COLUMNS,
        rows,
        gpu=gpu,
        bf16_matmul_tflops=rate / 1e12,
        gpu_tests=tests,
        recordings=recordings(scale),
        through_the_pipeline=through_the_pipeline(scale),
        seconds=time.perf_counter() - started,
    )


def run_tests() -> str:
    """Run the tests that need a GPU; what pytest says last."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=TESTS_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"not done after {TESTS_SECONDS:.0f} s"
    return (done.stdout.strip() or done.stderr.strip()).splitlines()[-1]


def matmul_rate(scale: Scale) -> float:
    """The card's bf16 matrix product, in FLOP/s."""
    a = torch.randn(scale.matmul, scale.matmul, device=scale.device, dtype=torch.bfloat16)

    def multiply() -> None:
        _ = a @ a
        synchronise(scale)

    return 2 * scale.matmul**3 / seconds_per_call(multiply, budget=2 * scale.seconds)


def measure_all(scale: Scale, rate: float, started: float) -> Iterator[dict[str, Any]]:
    """The rows, the smallest first; those that the time does not allow say so."""
    jobs: list[tuple[str, int, int, bool]] = [
        (codec, size, batch, True)
        for codec in CODECS
        for size in scale.sizes
        for batch in scale.batches
    ]
    jobs += [
        ("SD 1.5, DDIM", scale.ddim_size, batch, captured)
        for batch in scale.ddim_batches
        for captured in (True, False)
    ]
    backbones: dict[str, Backbone] = {}
    for what, size, batch, captured in sorted(jobs, key=lambda job: job[1] ** 2 * job[2]):
        row = {"what": what if captured else f"{what}, eager", "size": size, "batch": batch}
        if time.perf_counter() - started > scale.most_seconds:
            yield {**row, "bar": "left out: 6 minutes are over"}
            continue
        if what not in backbones:
            backbones[what] = build(what, scale)
        yield row | measure(what, backbones[what], size, batch, captured, scale, rate)


def measure(
    what: str, backbone: Backbone, size: int, batch: int, captured: bool, scale: Scale, rate: float
) -> dict[str, Any]:
    """Time a batch on the device, as often as it takes."""
    config = StemConfig()
    if what.endswith("DDIM"):
        config = StemConfig(method="ddim", inversion_steps=scale.ddim_steps)
    fits = max(1, CODECS.get(what, 1) * scale.pixels // size**2)
    most = max(2, min(1 << (batch - 1).bit_length(), 1 << (fits.bit_length() - 1)))
    inverter = FrameInverter(
        backbone, config, max_batch=most, dtype=torch.bfloat16, capture=captured
    )
    if scale.device == "cuda":
        torch.cuda.empty_cache()  # what the row before took
    frames, noise = inputs(inverter, size, batch, scale)
    try:
        seconds = seconds_per_call(lambda: inverter(frames, noise), budget=scale.seconds)
    except torch.cuda.OutOfMemoryError:
        return {"bar": "left out: it does not fit into the card's memory"}
    flops = batch / seconds * flop_per_frame(what, config, size, scale)
    row: dict[str, Any] = {
        "ms": 1e3 * seconds,
        "frames/s": batch / seconds,
        "TFLOP/s": flops / 1e12,
    }
    row["share"] = flops / rate
    if (what, size) == ("KL", 512):
        row |= {"bar": f"share {KL_BAR}", "met": row["share"] >= KL_BAR}
    if (what, size, batch) == ("embedded", 84, 256):
        row |= {"bar": f"{EMBEDDED_BAR} frames/s", "met": row["frames/s"] >= EMBEDDED_BAR}
    return row


def recordings(scale: Scale) -> dict[str, int]:
    """Graphs that are recorded in the warm-up of batches of 1 to 64, and after it."""
    counts: dict[str, int] = {}
    backbone = build("embedded", scale)
    inverter = FrameInverter(backbone, StemConfig(), dtype=torch.bfloat16)
    assert inverter.captured is not None
    for batch in (2**power for power in range(1, scale.warm_batches.bit_length())):
        inverter(*inputs(inverter, 84, batch, scale))
    counts["in_the_warm_up"] = inverter.captured.recordings
    for batch in range(1, scale.warm_batches + 1):
        inverter(*inputs(inverter, 84, batch, scale))
    counts["after_it"] = inverter.captured.recordings - counts["in_the_warm_up"]
    return counts


def through_the_pipeline(scale: Scale) -> dict[str, dict[str, float]]:
    """Tensors in, tensors out: frames/s, and copies to the host in a call, by noise and cache."""
    found: dict[str, dict[str, float]] = {}
    batch = max(scale.batches)
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (batch, 84, 84, 3), generator=generator, dtype=torch.uint8)
    frames = frames.to(scale.device)
    ways: dict[str, dict[str, Any]] = {
        "fixed noise, no cache": {"config": {"noise": "fixed"}, "cache": False},
        "noise by frame, no cache": {"config": {"noise": "frame"}, "cache": False},
        "noise by frame, found in the cache": {"config": {"noise": "frame"}},
    }
    for way, arguments in ways.items():
        pipeline = StemPipeline(device=scale.device, engine="torch", **arguments)
        pipeline.stats.psnr_db = 0.0  # random pixels are nothing to check a backbone on

        def call(pipeline: StemPipeline = pipeline) -> None:
            assert pipeline(frames).device == frames.device
            synchronise(scale)

        rate = batch / seconds_per_call(call, budget=scale.seconds)
        found[way] = {"frames/s": rate, "copies_to_host": copies_to_host(call, scale)}
    return found


def copies_to_host(call: Callable[[], None], scale: Scale) -> int:
    if scale.device != "cuda":
        return 0
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        call()
    return sum(event.count for event in profile.key_averages() if "DtoH" in event.key)


def build(what: str, scale: Scale) -> Backbone:
    """A backbone with random weights, made on the device."""
    with torch.device(scale.device):
        backbone = in_memory(what, scale)
    for network in (backbone.codec.module, backbone.denoiser):
        if network is not None:
            network.eval().requires_grad_(False)
            # diffusers' own `to` warns about a list of layers that is empty.
            torch.nn.Module.to(  # pyright: ignore[reportCallIssue]
                network, scale.device, torch.bfloat16, memory_format=torch.channels_last
            )
    return backbone


def in_memory(what: str, scale: Scale) -> Backbone:
    schedule = NoiseSchedule.from_config(SD_SCHEDULE)
    if what == "embedded":
        return Backbone(what, wrap_autoencoder(StemAutoencoder()), schedule, digest="random")
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    config = dict(SD21_AUTOENCODER)
    if scale.widths is not None:
        config |= {"block_out_channels": scale.widths, "norm_num_groups": scale.widths[0]}
    codec = wrap_autoencoder(AutoencoderTiny() if what == "TAESD" else AutoencoderKL(**config))
    if not what.endswith("DDIM"):
        return Backbone(what, codec, schedule, digest="random")
    of_15: dict[str, Any] = {"cross_attention_dim": 768}
    if scale.widths:
        of_15 |= {"block_out_channels": scale.widths, "norm_num_groups": 4}
    unet = UNet2DConditionModel(**of_15)
    denoiser = PromptedDenoiser(unet, torch.zeros(1, 77, 768), "epsilon")
    return Backbone(what, codec, schedule, digest="random", denoiser=denoiser)


def inputs(
    inverter: FrameInverter, size: int, batch: int, scale: Scale
) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (batch, size, size, 3)
    frames = torch.randint(0, 256, shape, dtype=torch.uint8, device=scale.device)
    noise = torch.randn(batch, *inverter.latent_shape(size, size), device=scale.device)
    return frames, noise.to(torch.bfloat16)


def flop_per_frame(what: str, config: StemConfig, size: int, scale: Scale) -> float:
    """Counted on "meta", where shapes alone are computed."""
    meta = dataclasses.replace(scale, device="meta")
    key = (what, size)
    if key not in _flops:
        inverter = FrameInverter(build(what, meta), config)
        with FlopCounterMode(display=False) as counter:
            inverter(*inputs(inverter, size, 2, meta))
        _flops[key] = counter.get_total_flops() / 2
    return _flops[key]


_flops: dict[tuple[str, int], float] = {}


def synchronise(scale: Scale) -> None:
    if scale.device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
