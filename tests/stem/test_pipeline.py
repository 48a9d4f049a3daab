import shutil
import threading
import time
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.backbones.export import write_graph
from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.cache import FrameCache
from stemob_wrappers.config import METHODS, StemConfig
from stemob_wrappers.diffusion.noise import draw_noise, noise_key
from stemob_wrappers.stem.frames import as_numpy
from stemob_wrappers.stem.identity import fingerprint, frame_digest, identity
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.stem.provenance import check_expected


@pytest.fixture(scope="module", params=["onnxruntime", "torch"])
def folder(request, tmp_path_factory):
    """A tiny backbone; with a graph ONNX Runtime runs it, without one PyTorch does."""
    folder = tmp_path_factory.mktemp("stem") / "model"
    tiny_models.save_stem_backbone(folder)
    if request.param == "onnxruntime":
        write_graph(folder)
    return str(folder)


@pytest.fixture(scope="module")
def shared(folder):
    """A pipeline whose cache holds nothing back: every call is computed."""
    return StemPipeline(StemConfig(backbone=folder), cache=False)


def random_frames(count, height=16, width=24, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


FRAMES = random_frames(9)


class CountingSession:
    """A session of ONNX Runtime that counts: one run is one forward of encoder and decoder."""

    def __init__(self, session, calls):
        self.session, self.calls = session, calls

    def run(self, *args):
        for part in self.calls:
            self.calls[part] += 1
        return self.session.run(*args)


@pytest.fixture
def count_forwards(monkeypatch):
    """Count the forwards of a pipeline's encoder and decoder."""
    handles = []

    def count(pipeline):
        calls = {"encoder": 0, "decoder": 0}
        if pipeline.engine == "onnxruntime":
            session = CountingSession(pipeline.inverter._session(), calls)
            monkeypatch.setattr(pipeline.inverter, "_session", lambda: session)
            return calls
        module = pipeline.inverter.backbone.codec.module
        for part in calls:

            def hook(module, inputs, output, part=part):
                calls[part] += 1

            handles.append(getattr(module, part).register_forward_hook(hook))
        return calls

    yield count
    for handle in handles:
        handle.remove()


# What comes out, and that nothing about the batch decides it


def test_a_result_is_the_inverters_under_the_noise_of_the_frames_content(folder):
    pipeline = StemPipeline(StemConfig(backbone=folder, seed=5))
    keys = [noise_key("frame", frame=frame_digest(f), episode=b"", count=0) for f in FRAMES]
    noise = draw_noise(5, keys, pipeline.noise_shape(16, 24))
    expected = pipeline.inverter(torch.from_numpy(FRAMES), torch.from_numpy(noise))
    np.testing.assert_array_equal(pipeline(FRAMES), as_numpy(expected))


def test_the_noise_matters(folder, shared):
    for change in ({"seed": 1}, {"noise": "fixed"}, {"inversion_steps": 0}):
        other = StemPipeline(StemConfig(backbone=folder).replace(**change))
        assert (other(FRAMES) != shared(FRAMES)).mean() > 0.2


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(9)))
def test_permuting_a_batch_permutes_the_result(shared, order):
    np.testing.assert_array_equal(shared(FRAMES[order]), shared(FRAMES)[order])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=1, max_size=9))
def test_a_frame_does_not_depend_on_the_batch_it_sat_in(shared, rows):
    """Convolution libraries round batches of other sizes apart, seldom by as much as a level."""
    difference = np.abs(shared(FRAMES[rows]).astype(int) - shared(FRAMES)[rows])
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.002


@settings(max_examples=10, deadline=None)
@given(st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=6), min_size=1, max_size=4))
def test_a_hit_has_the_bytes_of_the_miss(folder, batches):
    pipeline = StemPipeline(StemConfig(backbone=folder))
    seen: dict[int, np.ndarray] = {}
    for rows in batches:
        for row, stem in zip(rows, pipeline(FRAMES[rows]), strict=True):
            np.testing.assert_array_equal(stem, seen.setdefault(row, stem))
    assert pipeline.stats.misses == len(seen)
    assert pipeline.stats.hits == sum(map(len, batches)) - len(seen)
    assert pipeline.stats.frames == sum(map(len, batches))


def test_sizes_are_any_even_smaller_than_the_codecs_stride(shared):
    for size in ((1, 1), (3, 50), (33, 8)):
        assert shared(random_frames(2, *size)).shape == (2, *size, 3)


# Noise policies


def test_one_fixed_field_is_for_all(folder):
    pipeline = StemPipeline(StemConfig(backbone=folder, noise="fixed"), cache=False)
    field = draw_noise(0, [b"fixed"], pipeline.noise_shape(16, 24))
    expected = pipeline(FRAMES, noise=np.repeat(field, 9, axis=0))
    np.testing.assert_array_equal(pipeline(FRAMES), expected)


@pytest.mark.parametrize("cache", [None, False])
def test_episodes_have_their_own_noise_and_keep_it(folder, cache):
    pipeline = StemPipeline(StemConfig(backbone=folder, noise="episode"), cache=cache)
    same = np.repeat(FRAMES[:1], 4, axis=0)
    stems = pipeline(same, episodes=[b"1", b"2", b"1", b"2"])
    np.testing.assert_array_equal(stems[0], stems[2])
    np.testing.assert_array_equal(stems[1], stems[3])
    assert (stems[0] != stems[1]).any()
    again = pipeline(same[:2], episodes=[b"2", b"1"])
    np.testing.assert_array_equal(again, stems[[1, 0]])
    np.testing.assert_array_equal(pipeline(FRAMES), pipeline(FRAMES, episodes=[b""] * 9))


def test_fresh_noise_is_new_every_time_and_nothing_is_stored(folder):
    cache = FrameCache()
    config = StemConfig(backbone=folder, noise="fresh")
    pipeline = StemPipeline(config, cache)
    same = np.repeat(FRAMES[:1], 3, axis=0)
    stems = [*pipeline(same), *pipeline(same)]
    assert len({stem.tobytes() for stem in stems}) == 6
    assert (len(cache), pipeline.stats.hits, pipeline.stats.misses) == (0, 0, 6)
    replay = StemPipeline(config)
    np.testing.assert_array_equal(replay(np.repeat(FRAMES[:1], 6, axis=0)), stems)


def test_statistics_do_not_decide_fresh_noise(folder):
    pipeline = StemPipeline(StemConfig(backbone=folder, noise="fresh"))
    first = pipeline(FRAMES[:2])
    pipeline.stats.frames = 0
    assert (pipeline(FRAMES[:2]) != first).any()


def test_injected_noise_is_neither_stored_nor_looked_up(folder):
    pipeline = StemPipeline(StemConfig(backbone=folder))
    stored = pipeline(FRAMES[:2])
    zeros = np.zeros((2, *pipeline.noise_shape(16, 24)), np.float32)
    injected = pipeline(FRAMES[:2], noise=zeros)
    assert (injected != stored).any()
    np.testing.assert_array_equal(pipeline(FRAMES[:2]), stored)
    np.testing.assert_array_equal(pipeline(FRAMES[:2], noise=torch.from_numpy(zeros)), injected)


# One forward, one load


@pytest.mark.parametrize("noise", ["frame", "fixed", "episode", "fresh"])
def test_one_codec_forward_for_all_the_misses_of_a_call(folder, count_forwards, noise):
    pipeline = StemPipeline(StemConfig(backbone=folder, noise=noise))
    calls = count_forwards(pipeline)
    pipeline(FRAMES)
    assert calls == {"encoder": 1, "decoder": 1}
    pipeline(FRAMES)
    expected = 2 if noise == "fresh" else 1
    assert calls == {"encoder": expected, "decoder": expected}
    assert pipeline.stats.inverter_calls == expected


def test_the_same_frame_twice_in_a_call_is_computed_once(folder):
    pipeline = StemPipeline(StemConfig(backbone=folder), cache=False)
    stems = pipeline(FRAMES[[0, 1, 0, 0]])
    np.testing.assert_array_equal(stems[0], stems[2])
    assert (pipeline.stats.misses, pipeline.stats.hits) == (2, 2)


def test_a_cache_can_be_shared_and_keeps_identities_apart(folder):
    cache = FrameCache()
    a = StemPipeline(StemConfig(backbone=folder), cache)
    b = StemPipeline(StemConfig(backbone=folder), cache)
    other = StemPipeline(StemConfig(backbone=folder, seed=1), cache)
    np.testing.assert_array_equal(a(FRAMES), b(FRAMES))
    assert b.stats.hits == 9
    assert (other(FRAMES) != a(FRAMES)).any()
    assert other.stats.hits == 0
    assert len(cache) == 18


def test_without_a_cache_nothing_is_remembered(folder):
    pipeline = StemPipeline(StemConfig(backbone=folder), cache=False)
    pipeline(FRAMES)
    pipeline(FRAMES)
    assert pipeline.cache is None
    assert (pipeline.stats.misses, pipeline.stats.hits) == (18, 0)


def test_warmup_leaves_statistics_cache_and_fresh_noise_alone(folder):
    config = StemConfig(backbone=folder, noise="fresh")
    pipeline, cold = StemPipeline(config), StemPipeline(config)
    before = dict(pipeline.stats.seconds)
    for shape in ((16, 24), (16, 24, 3), (4, 16, 24, 3)):
        pipeline.warmup(shape)
    stats = pipeline.stats
    assert (stats.frames, stats.hits, stats.misses, stats.inverter_calls) == (0, 0, 0, 0)
    assert stats.seconds == before
    np.testing.assert_array_equal(pipeline(FRAMES), cold(FRAMES))
    assert pipeline.inverter.seconds is pipeline.stats.seconds
    with pytest.raises(ValueError, match="frames must have shape"):
        pipeline.warmup((16, 24, 4))


def test_time_is_booked_by_stage(folder):
    pipeline = StemPipeline(StemConfig(backbone=folder))
    pipeline(FRAMES)
    network = {"torch": {"encode", "invert", "decode"}, "onnxruntime": {"network"}}
    expected = {"hash", "cache", "noise"} | network[pipeline.engine]
    assert set(pipeline.stats.seconds) == expected
    assert all(seconds > 0 for seconds in pipeline.stats.seconds.values())


def test_threads_may_share_a_pipeline(folder):
    expected = StemPipeline(StemConfig(backbone=folder), cache=False)(FRAMES)
    pipeline = StemPipeline(StemConfig(backbone=folder))
    wrong = []

    def work(seed):
        order = np.random.default_rng(seed).permutation(9)
        if not np.array_equal(pipeline(FRAMES[order]), expected[order]):
            wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


class Slow(int):
    """Lets other threads in between the reading and the writing of ``+=``."""

    def __add__(self, other: int) -> "Slow":
        time.sleep(1e-4)
        return Slow(int(self) + other)


class SlowCounts(dict[bytes, int]):
    """Lets other threads in between the taking out and the putting back of a count."""

    def pop(self, *arguments: Any) -> int:
        count = super().pop(*arguments)
        time.sleep(1e-4)
        return count


@pytest.mark.parametrize("noise", ["fresh", "frame"])
def test_threads_share_no_fresh_draw_and_lose_no_count(folder, noise, monkeypatch):
    pipeline = StemPipeline(StemConfig(backbone=folder, noise=noise), cache=False)
    drawn: list[bytes] = []
    # Keys are noted where noise would be drawn, and frames come back as they are: that is fast.
    monkeypatch.setattr(pipeline, "_draw", lambda frames, keys: drawn.extend(keys))
    monkeypatch.setattr(pipeline, "inverter", lambda frames, noise: frames)
    monkeypatch.setattr(pipeline, "_check_domain", lambda *_: None)
    pipeline._seen = SlowCounts()
    for name in ("frames", "misses", "hits", "inverter_calls"):
        setattr(pipeline.stats, name, Slow(0))
    threads = [
        threading.Thread(target=lambda: [pipeline(FRAMES[:2]) for _ in range(20)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = pipeline.stats
    assert (stats.frames, stats.misses, stats.inverter_calls) == (160, 160, 80)
    if noise == "fresh":
        assert len(drawn) == len(set(drawn)) == 160


# Kinds of arrays


def test_torch_in_gives_an_ordinary_tensor_out_equal_to_numpys(folder, shared):
    expected = shared(FRAMES)
    cached = StemPipeline(StemConfig(backbone=folder))
    for pipeline in (shared, cached, cached):  # computed, missed, hit
        stems = pipeline(torch.from_numpy(FRAMES))
        assert isinstance(stems, torch.Tensor)
        assert stems.dtype == torch.uint8
        assert not stems.is_inference()
        np.testing.assert_array_equal(stems.numpy(), expected)
        stems.add_(1)  # an inference tensor would refuse
    noise = np.zeros((9, *shared.noise_shape(16, 24)), np.float32)
    assert not shared(torch.from_numpy(FRAMES), noise=noise).is_inference()


def test_read_only_and_non_contiguous_frames_just_work(shared):
    expected = shared(FRAMES)
    read_only = FRAMES.copy()
    read_only.flags.writeable = False
    strided = np.repeat(FRAMES, 2, axis=2)[:, :, ::2]
    channels_first = np.ascontiguousarray(FRAMES.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    backwards = FRAMES[:, ::-1].copy()[:, ::-1]
    for frames in (read_only, strided, channels_first, backwards, np.asfortranarray(FRAMES)):
        np.testing.assert_array_equal(shared(frames), expected)
    np.testing.assert_array_equal(shared(torch.from_numpy(channels_first)).numpy(), expected)


@pytest.mark.parametrize("noise", ["frame", "fresh"])
def test_frames_are_never_written_to_and_results_share_no_memory(folder, noise):
    pipeline = StemPipeline(StemConfig(backbone=folder, noise=noise))
    frames = FRAMES.copy()
    for _ in range(2):
        stems = pipeline(frames)
        assert not np.shares_memory(stems, frames)
        np.testing.assert_array_equal(frames, FRAMES)
        stems[:] = 0
    if noise == "frame":
        assert pipeline(frames).any()  # what was stored is not what was handed out


def test_injected_noise_may_be_read_only_and_is_not_written_to(shared):
    noise = np.ones((9, *shared.noise_shape(16, 24)), np.float32)
    noise.flags.writeable = False
    shared(FRAMES, noise=noise)
    shared(FRAMES, noise=noise[:, :, ::-1])
    assert (noise == 1).all()


# Identity


def test_every_field_changes_the_fingerprint(folder, tmp_path):
    other = tiny_models.save_stem_backbone(tmp_path / "other", seed=1)
    kl = tiny_models.save_diffusers_model(tmp_path / "kl", tiny_models.kl_autoencoder())
    tiny_models.tiny_autoencoder().save_pretrained(tmp_path / "taesd")
    base = {"backbone": folder}
    changes = [
        (base, {"backbone": other}),
        (base, {"num_steps": 51}),
        (base, {"inversion_steps": 11}),
        (base, {"noise": "fixed"}),
        (base, {"seed": 1}),
        (base, {"resolution": 64}),
        ({"backbone": kl}, {"codec": str(tmp_path / "taesd")}),
    ]
    for fields, change in changes:
        assert (
            StemPipeline(StemConfig(**fields)).fingerprint
            != StemPipeline(StemConfig(**{**fields, **change})).fingerprint
        ), change
    # "method" needs a denoiser and "revision" a hub model, so here only identities are compared.
    others: list[dict[str, Any]] = [{"method": method} for method in METHODS] + [
        {"revision": "main"}
    ]
    found = {fingerprint(identity(StemConfig(**other), "weights")) for other in others}
    assert len(found) == len(others)


def test_device_dtype_batch_and_path_do_not(folder, tmp_path):
    copy = str(shutil.copytree(folder, tmp_path / "copy"))
    config = StemConfig(backbone=folder)
    expected = StemPipeline(config).fingerprint
    assert StemPipeline(config, device="cpu").fingerprint == expected
    assert StemPipeline(config, dtype="bfloat16", max_batch=2).fingerprint == expected
    assert StemPipeline(config, cache=False).fingerprint == expected
    moved = StemPipeline(config.replace(backbone=copy))
    assert moved.fingerprint == expected
    assert folder not in str(moved.identity)
    assert copy not in str(moved.identity)


def test_an_expected_identity_or_fingerprint_passes(shared):
    check_expected(shared.identity, shared.identity)
    check_expected(shared.identity, shared.fingerprint)


def test_an_unexpected_one_is_refused_with_the_fields_that_differ(folder, shared):
    other = StemPipeline(StemConfig(backbone=folder, seed=1, inversion_steps=9))
    with pytest.raises(ValueError, match=r"inversion_steps: expected 9.*5") as error:
        check_expected(shared.identity, other.identity)
    assert "seed: expected 1, this config gives 0" in str(error.value)
    assert "num_steps" not in str(error.value)
    with pytest.raises(ValueError, match=f"{other.fingerprint}.*{shared.fingerprint}"):
        check_expected(shared.identity, other.fingerprint)


# Bad input


def test_nothing_is_lost_by_bad_input(folder):
    pipeline = StemPipeline(StemConfig(backbone=folder, noise="fresh"))
    floats: Any = FRAMES.astype(np.float32)
    calls = [
        (lambda: pipeline(floats), TypeError, "must be uint8, received float32"),
        (lambda: pipeline(FRAMES[0]), ValueError, "add a leading axis"),
        (lambda: pipeline(FRAMES[..., :2]), ValueError, r"\[N, H, W, 3\]"),
        (lambda: pipeline(FRAMES[:0]), ValueError, "empty dimension"),
        (lambda: pipeline(FRAMES, episodes=[b""] * 8), ValueError, r"key per frame \(9\).*8"),
        (
            lambda: pipeline(FRAMES, noise=np.zeros((9, 4, 2, 2), np.float32)),
            ValueError,
            r"noise must have the latents' shape \(9, 4, 4, 6\), received \(9, 4, 2, 2\)",
        ),
        (
            lambda: pipeline(FRAMES, noise=np.zeros((1, 4, 4, 6), np.float32)),
            ValueError,
            r"received \(1, 4, 4, 6\)",
        ),
    ]
    for call, error, message in calls:
        with pytest.raises(error, match=message):
            call()
    assert pipeline.stats.frames == 0
    expected = StemPipeline(pipeline.config)(FRAMES)
    np.testing.assert_array_equal(pipeline(FRAMES), expected)


@pytest.mark.parametrize("dtype", ["int32", "float33", "nn", torch.uint8])
def test_a_dtype_that_is_no_float_is_refused(folder, dtype):
    with pytest.raises(ValueError, match="floating torch dtype such as 'float32'"):
        StemPipeline(StemConfig(backbone=folder), dtype=dtype)


def test_an_unknown_backbone_or_field_is_refused():
    with pytest.raises(ValueError, match="unknown backbone 'nothing'"):
        StemPipeline(StemConfig(backbone="nothing"))
    with pytest.raises(ValueError, match="'inversion_step'; did you mean 'inversion_steps'"):
        StemPipeline({"inversion_step": 1})


def test_the_embedded_backbone_works_as_it_comes():
    pipeline = StemPipeline(StemConfig(inversion_steps=5))
    frames = random_frames(2, 84, 84)
    assert pipeline(frames).shape == frames.shape
    assert pipeline.noise_shape(84, 84) == pipeline.inverter.latent_shape(84, 84)
    assert pipeline.identity["weights"] == load_backbone("embedded").digest
