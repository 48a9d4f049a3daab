import pytest
import torch

from stemob_wrappers.training import precision
from stemob_wrappers.training.precision import autocast, computes_in_bfloat16


@pytest.mark.parametrize(
    ("flags", "limit", "able"),
    [
        ("sse2 avx2 avx512f avx512_bf16", None, True),
        ("sse2 avx2 amx_bf16", "AVX512_CORE_AMX", True),
        ("avx512_bf16", "AVX512_CORE_BF16", True),
        ("sse2 avx2 avx512f", None, False),
        ("avx512_bf16", "AVX2", False),
        ("avx512_bf16", "avx2_vnni", False),
        ("avx512_bf16", "AVX512_CORE", False),
        ("avx512_bf16", "AVX512_CORE_VNNI", False),
    ],
)
def test_a_cpu_computes_in_bfloat16_where_it_has_instructions_that_it_may_use(
    flags, limit, able, tmp_path, monkeypatch
):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : {flags}\n")
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if limit is not None:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert computes_in_bfloat16("cpu") is able
    with autocast("cpu"):
        product = torch.eye(8) @ torch.eye(8)
    assert product.dtype is (torch.bfloat16 if able else torch.float32)


def test_a_system_that_does_not_tell_trains_in_float32(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "none")
    assert not computes_in_bfloat16("cpu")
