"""What does a backbone cost? Its parts at 128, 256 and 512 px, and every method made of them.

    python benchmarks/backbones.py [--device cuda --dtype bfloat16] [--sizes 128 256]

Random weights of true size; each part in a process of its own, so that its peak memory is its own.
A part that would take minutes for one call here is counted (FLOPs) and not run. Bar: TAESD at
128 px reaches 40 % of the machine's matmul rate. A method's milliseconds are those of its parts
times how often it calls them, for 10 inversion steps.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch
from common import report, seconds_per_call
from torch.utils.flop_counter import FlopCounterMode

SIZES = (128, 256, 512)
BATCH = 2
MOST_SECONDS = 60.0  # of one call; beyond, a part is not run
SLOWEST_SHARE = 0.2  # of the matmul rate, to guess how long a call will take
STEPS = 10
WARM_STEPS = 2
CALLS = {"ddpm": 0, "ddim": STEPS, "ddim-renoise": 2 * STEPS, "ddim-warm": STEPS - WARM_STEPS}
MODELS = {
    "embedded": ("embedded codec", "embedded denoiser"),
    "SD 1.5": ("SD autoencoder", "SD 1.5 UNet"),
    "SD 2.1": ("SD autoencoder", "SD 2.1 UNet"),
    "SD 1.5 + TAESD": ("TAESD", "SD 1.5 UNet"),
}
PART_COLUMNS = ("part", "size", "gflop", "ms", "peak_mb", "share_of_matmul", "note")


def build(part: str) -> tuple[torch.nn.Module, Callable[[Any, int], Any]]:
    """Return a part's network and a function that runs it on frames of a size."""
    if part == "embedded codec":
        from stemob_wrappers.backbones.networks import StemAutoencoder

        return StemAutoencoder(), lambda m, size: m.decode(m.encode(_draw(m, 3, size)))
    if part == "embedded denoiser":
        from stemob_wrappers.backbones.networks import StemAutoencoder, StemDenoiser

        channels = StemAutoencoder().latent_channels
        return StemDenoiser(channels), lambda m, size: m(_draw(m, channels, size // 4), 81)
    if part == "SD autoencoder":
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

        stages: dict[str, Any] = {
            "down_block_types": ("DownEncoderBlock2D",) * 4,
            "up_block_types": ("UpDecoderBlock2D",) * 4,
            "block_out_channels": (128, 256, 512, 512),
        }
        network = AutoencoderKL(**stages, layers_per_block=2)

        def reconstruct(m: Any, size: int) -> Any:
            return m.decode(m.encode(_draw(m, 3, size)).latent_dist.mode()).sample

        return network, reconstruct
    if part == "TAESD":
        from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

        return AutoencoderTiny(), lambda m, size: m.decode(m.encode(_draw(m, 3, size)).latents)
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    of_21: dict[str, Any] = {
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    }
    of_15: dict[str, Any] = {"cross_attention_dim": 768}
    config = of_21 if part == "SD 2.1 UNet" else of_15
    width = config["cross_attention_dim"]

    def denoise(m: Any, size: int) -> Any:
        prompt = torch.zeros(BATCH, 77, width, device=m.device, dtype=m.dtype)
        return m(_draw(m, 4, size // 8), 81, encoder_hidden_states=prompt).sample

    return UNet2DConditionModel(**config), denoise


def measure(part: str, size: int, device: str, dtype: str, rate: float) -> dict[str, Any]:
    """Measure one part: per frame, in a batch of two."""
    with torch.device("meta"):
        network, call = build(part)
    network.to("meta")  # tables that were made from numpy too
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        call(network.eval(), size)
    gflop = counter.get_total_flops() / BATCH / 1e9
    row: dict[str, Any] = {"part": part, "size": size, "gflop": gflop}
    expected = gflop * BATCH / (rate * SLOWEST_SHARE)
    if expected > MOST_SECONDS:
        return {**row, "note": f"not run: about {expected:.0f} s a call on this machine"}
    network, call = build(part)
    network.eval().to(device, getattr(torch, dtype))
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def run() -> None:
        with torch.inference_mode():
            call(network, size)
        if device == "cuda":
            torch.cuda.synchronize()

    milliseconds = 1e3 * seconds_per_call(run, budget=3.0) / BATCH
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 1e6
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    share = gflop / (milliseconds / 1e3) / rate
    return {**row, "ms": milliseconds, "peak_mb": peak, "share_of_matmul": share}


def in_a_process(part: str, size: int, options: argparse.Namespace, rate: float) -> dict[str, Any]:
    arguments = ["--part", part, "--sizes", str(size), "--device", options.device]
    arguments += ["--dtype", options.dtype, "--rate", str(rate)]
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return {"part": part, "size": size, "note": f"failed: {lines[-1]}"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def methods(parts: list[dict[str, Any]]) -> dict[str, str]:
    """Milliseconds a frame of each method on each model and size that ran."""
    took = {(row["part"], row["size"]): row.get("ms") for row in parts}
    table = {}
    for model, (codec, denoiser) in MODELS.items():
        for size in sorted({row["size"] for row in parts}):
            ends, call = took.get((codec, size)), took.get((denoiser, size))
            costs = {
                method: ends + calls * (call or 0.0)
                for method, calls in CALLS.items()
                if ends is not None and (calls == 0 or call is not None)
            }
            if costs:
                text = ", ".join(f"{method} {cost:.4g} ms" for method, cost in costs.items())
                table[f"{model}, {size} px"] = text
    return table


def rate_of(device: str, dtype: str, size: int = 2048) -> float:
    """The device's rate of a matrix product in a dtype, in GFLOP/s."""
    a = torch.randn(size, size, device=device, dtype=getattr(torch, dtype))

    def multiply() -> None:
        _ = a @ a
        if device == "cuda":
            torch.cuda.synchronize()

    return 2 * size**3 / seconds_per_call(multiply) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--part", help="measure this one here and print JSON")
    parser.add_argument("--rate", type=float, help="matmul rate in GFLOP/s, if known")
    options = parser.parse_args()
    rate = options.rate or rate_of(options.device, options.dtype)
    if options.part:
        size = options.sizes[0]
        print(json.dumps(measure(options.part, size, options.device, options.dtype, rate)))
        return
    names = sorted({part for parts in MODELS.values() for part in parts})
    rows = [in_a_process(part, size, options, rate) for part in names for size in options.sizes]
    on_cuda = "ran" if options.device == "cuda" else "not run: asked for the CPU"
    report(
        "backbones",
        PART_COLUMNS,
        rows,
        device=f"{options.device} {options.dtype}, {rate:.0f} GFLOP/s",
        methods=methods(rows),
        cuda=on_cuda,
    )


def _draw(network: torch.nn.Module, channels: int, side: int) -> torch.Tensor:
    weight = next(network.parameters())
    images = torch.zeros(BATCH, channels, side, side, device=weight.device, dtype=weight.dtype)
    return images.contiguous(memory_format=torch.channels_last)


if __name__ == "__main__":
    main()
