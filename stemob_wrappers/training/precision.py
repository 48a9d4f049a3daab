"""The arithmetic that a device trains in: bfloat16 where it computes in it, else float32."""

from __future__ import annotations

import os
from pathlib import Path

import torch

CPUINFO = Path("/proc/cpuinfo")
CPU_FLAGS = {"avx512_bf16", "amx_bf16"}
WITHOUT_BF16 = ("SSE", "AVX2", "AVX512_CORE_VNNI")  # what ONEDNN_MAX_CPU_ISA may be held down to


def autocast(device: str | torch.device) -> torch.autocast:
    """Return the context in which a training step's convolutions run.

    A processor without instructions for bfloat16 emulates it: a step takes nine times as long as in
    float32. Weights and sums are float32 in both cases, so a checkpoint goes on in either.

    Example:
        >>> with autocast("cpu"):
        ...     torch.nn.Conv2d(3, 8, 3)(torch.zeros(1, 3, 8, 8)).shape
        torch.Size([1, 8, 6, 6])
    """
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, computes_in_bfloat16(kind))


def computes_in_bfloat16(kind: str) -> bool:
    """Whether a device of this kind has instructions for bfloat16, ``ONEDNN_MAX_CPU_ISA`` heeded.

    Example:
        >>> computes_in_bfloat16("meta")
        False
    """
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind != "cpu" or not CPUINFO.is_file():
        return False
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    if limit in {"AVX512_CORE", "AVX"} or limit.startswith(WITHOUT_BF16):
        return False
    return not CPU_FLAGS.isdisjoint(CPUINFO.read_text().split())
