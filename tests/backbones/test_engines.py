import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import engine_worker
import numpy as np
import pytest
import tiny_models
import torch

from stemob_wrappers import StemConfig, StemPipeline
from stemob_wrappers.backbones.engines import (
    GRAPH_FILE,
    WEIGHTS_FILE,
    GraphEngine,
    num_threads,
    torch_threads,
)
from stemob_wrappers.backbones.export import write_graph
from stemob_wrappers.backbones.folder import EMBEDDED, WEIGHTS, StemFolder

FRAMES = np.random.default_rng(0).integers(0, 256, (33, 84, 84, 3), np.uint8)


@pytest.fixture
def copy(tmp_path):
    """A copy of the embedded backbone that may be spoiled."""
    return Path(shutil.copytree(WEIGHTS / EMBEDDED["embedded"], tmp_path / "copy"))


def pipeline(**arguments):
    return StemPipeline(StemConfig(), cache=False, device="cpu", **arguments)


# Which engine runs what


def test_auto_takes_onnx_runtime_where_it_can_and_the_identity_stays():
    chosen, forced = pipeline(), pipeline(engine="torch")
    assert (chosen.engine, forced.engine) == ("onnxruntime", "torch")
    assert chosen.identity == forced.identity
    cache_keys = [p._cache_key(b"digest", b"noise") for p in (chosen, forced)]
    assert cache_keys[0] == cache_keys[1]


@pytest.mark.parametrize(
    ("config", "arguments", "reason"),
    [
        ({"method": "ddim"}, {}, "method='ddim' asks a denoiser"),
        ({"resolution": 64}, {}, "resolution=64 resizes frames"),
        ({}, {"dtype": "bfloat16"}, "dtype='bfloat16' is not float32"),
        ({"backbone": "tiny-kl"}, {}, "backbones of this package alone"),
        ({"backbone": "no-graph"}, {}, f"has no {GRAPH_FILE}"),
    ],
)
def test_pytorch_runs_what_onnx_runtime_cannot(config, arguments, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_models.save_diffusers_model(tmp_path / "tiny-kl", tiny_models.kl_autoencoder())
    tiny_models.save_stem_backbone(tmp_path / "no-graph")
    config = StemConfig(**config)
    assert StemPipeline(config, device="cpu", **arguments).engine == "torch"
    with pytest.raises(ValueError, match=reason):
        StemPipeline(config, device="cpu", engine="onnxruntime", **arguments)


def test_a_backbone_without_a_graph_says_how_to_write_one(tmp_path):
    folder = tiny_models.save_stem_backbone(tmp_path / "tiny")
    with pytest.warns(UserWarning, match=f"no {GRAPH_FILE}.*backbones.export"):
        StemPipeline(StemConfig(backbone=folder), device="cpu")


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="auto, onnxruntime, torch, received 'tensorrt'"):
        pipeline(engine="tensorrt")


def test_onnx_runtime_runs_on_cpus_alone():
    with pytest.raises(ValueError, match="device='cuda' is no CPU"):
        StemPipeline(engine="onnxruntime", device="cuda")


def test_a_frame_reads_and_hashes_no_weights(monkeypatch):
    """Hashing four megabytes takes longer than the network."""
    ready = pipeline()
    ready(FRAMES[:1])

    def refuse(*_: object) -> None:
        raise AssertionError("the weights were hashed for a frame")

    monkeypatch.setattr(StemFolder, "digest", refuse)
    monkeypatch.setattr("stemob_wrappers.backbones.engines.network_digest", refuse)
    ready(FRAMES[1:2])


# One frame, one answer


@pytest.mark.parametrize("name", ["embedded", "embedded-canonical"])
def test_a_frame_has_the_same_bytes_in_batches_of_1_to_33(name):
    graph = GraphEngine(StemFolder.named(name), StemConfig(backbone=name))
    noise = np.random.default_rng(1).standard_normal((33, 28, 22, 22), np.float32)
    expected = np.concatenate([graph(FRAMES[[row]], noise[[row]]) for row in range(33)])
    for count in range(2, 34):
        np.testing.assert_array_equal(graph(FRAMES[:count], noise[:count]), expected[:count])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_and_the_cut_of_batches_do_not_decide_bytes(threads):
    expected = pipeline(threads=1)(FRAMES)
    np.testing.assert_array_equal(pipeline(threads=threads, max_batch=5)(FRAMES), expected)


def test_torch_frames_give_what_numpy_frames_do():
    stems = pipeline()(torch.from_numpy(FRAMES))
    assert isinstance(stems, torch.Tensor)
    np.testing.assert_array_equal(stems.numpy(), pipeline()(FRAMES))


def test_the_check_of_a_canonical_backbone_asks_its_plain_one():
    frames = FRAMES[:2] // np.uint8(4) + np.uint8(96)
    measured = {}
    plain = StemFolder.named("embedded-canonical").plain
    assert plain is not None
    for name in (str(plain.path), "embedded-canonical"):
        for engine in ("onnxruntime", "torch"):
            found = StemPipeline(
                StemConfig(backbone=name), cache=False, device="cpu", engine=engine
            )
            found(frames)
            measured[name, engine] = found.stats.psnr_db
    values = list(measured.values())
    np.testing.assert_allclose(values, values[0], atol=0.01)


def test_threads_may_share_a_session():
    expected, shared, wrong = pipeline()(FRAMES), pipeline(), []

    def work(first):
        for row in range(first, 33, 4):
            if not np.array_equal(shared(FRAMES[[row]]), expected[[row]]):
                wrong.append(row)

    workers = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_worker_process_computes_too_whatever_it_was_started_by(method, threads):
    """A forked process has no threads of the session that its parent opened."""
    expected = pipeline(threads=threads)(FRAMES[:1])
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    arguments = (queue, FRAMES[:1], threads)
    worker = context.Process(target=engine_worker.put_stems, args=arguments, daemon=True)
    worker.start()
    try:
        np.testing.assert_array_equal(queue.get(timeout=60), expected)
    finally:
        worker.kill()
        worker.join()


# Graphs that do not belong


def test_a_graph_of_other_weights_is_refused(copy, tmp_path):
    weights = copy / WEIGHTS_FILE
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    config = StemConfig(backbone=str(copy))
    with pytest.raises(OSError, match="was not made of the weights beside it"):
        StemPipeline(config, device="cpu", engine="onnxruntime")
    with pytest.warns(UserWarning, match=r"PyTorch runs it.*not made of the weights beside it"):
        assert StemPipeline(config, device="cpu").engine == "torch"
    write_graph(copy)
    assert StemPipeline(StemConfig(backbone=str(copy)), device="cpu").engine == "onnxruntime"


def test_a_graph_of_another_config_is_refused(copy):
    path = copy / "vae" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"look_scale": 0.5}))
    with pytest.raises(OSError, match="was not made of the weights beside it"):
        StemPipeline(StemConfig(backbone=str(copy)), device="cpu", engine="onnxruntime")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_truncated_graph_is_refused(copy, share):
    graph = (copy / GRAPH_FILE).read_bytes()
    (copy / GRAPH_FILE).write_bytes(graph[: int(share * len(graph))])
    with pytest.raises(OSError, match=r"truncated or corrupt.*backbones\.export"):
        StemPipeline(StemConfig(backbone=str(copy)), device="cpu")


def test_a_graph_outside_the_folder_is_refused(copy, tmp_path):
    elsewhere = tmp_path / "elsewhere.onnx"
    (copy / GRAPH_FILE).rename(elsewhere)
    (copy / GRAPH_FILE).symlink_to(elsewhere)
    with pytest.raises(ValueError, match="leads out of the model's folder"):
        StemPipeline(StemConfig(backbone=str(copy)), device="cpu")


# Threads


def test_threads_are_the_arguments_or_the_environments(monkeypatch):
    monkeypatch.setenv("STEMOB_THREADS", "3")
    assert (num_threads(), num_threads(2), torch_threads(None, 8)) == (3, 2, 3)
    monkeypatch.setenv("STEMOB_THREADS", "")
    assert num_threads() == min(4, len(os.sched_getaffinity(0)))


def test_pytorch_leaves_a_processor_to_others_unless_its_threads_sleep(monkeypatch):
    monkeypatch.delenv("STEMOB_THREADS", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert (torch_threads(None, 8), torch_threads(None, 1), torch_threads(8, 8)) == (7, 1, 8)
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    assert torch_threads(None, 8) == 8


@pytest.mark.parametrize("threads", [0, -1, 1.5, "many", True])
def test_threads_that_are_no_number_are_refused(threads):
    with pytest.raises(ValueError, match="threads must be a whole number from 1"):
        pipeline(threads=threads)


def test_pytorchs_number_of_threads_is_put_back():
    before = torch.get_num_threads()
    pipeline(engine="torch", threads=before + 1)(FRAMES[:1])
    assert torch.get_num_threads() == before


# No PyTorch


def test_a_wrapped_env_loads_neither_torch_nor_diffusers(tmp_path):
    code = """
        import sys
        import gymnasium as gym, numpy as np
        import fakes, stemob_wrappers
        from stemob_wrappers.vector import StemObservation

        env = stemob_wrappers.StemObservation(fakes.FrameEnv(), cache="cache")
        env.reset(seed=0)
        env.reset(seed=0)
        (stats,) = env.stats.values()
        assert (stats.hits, stats.misses) == (1, 1)
        venv = gym.vector.SyncVectorEnv([fakes.FrameEnv] * 2)
        StemObservation(venv, backbone="embedded-canonical").reset(seed=0)
        loaded = {"torch", "diffusers", "transformers", "onnx"} & set(sys.modules)
        assert not loaded, loaded
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)
