"""What computes stem frames: ONNX Runtime for our own networks on a CPU, PyTorch for all else.

Needs no PyTorch. The engine that does is ``stem.inverter.FrameInverter``. Where the two meet they
agree within one grey level, so which one ran is no part of a frame's identity.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
import warnings
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.backbones.digest import model_digest
from stemob_wrappers.backbones.files import inside
from stemob_wrappers.backbones.folder import StemFolder, is_stem_folder, stem_folder
from stemob_wrappers.backbones.stored import WEIGHTS_FILE as NETWORK_FILE
from stemob_wrappers.backbones.stored import StoredNetwork
from stemob_wrappers.config import StemConfig

ENGINES = ("auto", "onnxruntime", "torch")
THREADS_VARIABLE = "STEMOB_THREADS"
WAIT_VARIABLE = "OMP_WAIT_POLICY"
MOST_THREADS = 4  # by default: a frame is too small for more
GRAPH_FILE = "frame.onnx"
WEIGHTS_FILE = f"vae/{NETWORK_FILE}"  # where the graph has its weights, seen from its folder
GRAPH_FORMAT = "1"  # of what the graph's inputs mean
CELL, STRIDE = 4, 8  # StemAutoencoder's latent_stride and stride, without importing it
BATCH_PIXELS = 16 * 84 * 84  # a longer batch is cut: its features would leave the cache


class Engine(Protocol):
    """What a pipeline asks for stem frames.

    Attributes:
        name: ``"onnxruntime"`` or ``"torch"``.
        config: the StemConfig, with ``resolution="model"`` put in numbers.
        backbone: what it runs; has ``name``, ``figures`` and ``schedule``.
        digest: of the backbone.
        alpha_bar: the share of signal variance that is left at the config's level.
        seconds: time spent so far, by stage.
        lock: held while those are counted; calls may come from several threads.
    """

    name: str
    config: StemConfig
    backbone: Any
    digest: str
    alpha_bar: float
    seconds: dict[str, float]
    lock: threading.Lock

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Shape of the latent, and so of the noise, of a frame: [channels, h, w]."""
        ...

    def __call__(self, frames: Any, noise: Any) -> Any:
        """Return the stem frames of uint8 ``frames`` [N, H, W, 3] under ``noise`` [N, C, h, w].

        Takes numpy arrays and tensors; gives what it computes with, numpy or torch on its device.
        """
        ...

    def faithful(self, frames: Any, noise: Any, stems: Any) -> Any:
        """Return the stem frames that are meant to look like ``frames``.

        These are ``stems``, save for a canonical backbone: then those of its plain decoder.
        """
        ...


class GraphEngine:
    """A backbone's graph (see ``export.py``) in ONNX Runtime, for ``method="ddpm"``.

    A frame's bytes do not depend on its batch, so nothing is padded; long batches are cut.

    Args:
        folder: a backbone with a graph.
        config: gives the level.
        threads: see :func:`num_threads`.
        max_batch: the most frames that are computed together.

    Raises:
        OSError: the graph is missing, truncated or corrupt, or was made of other weights.

    Example:
        >>> engine = GraphEngine(StemFolder.named("embedded"), StemConfig())
        >>> noise = np.zeros((2, *engine.latent_shape(84, 84)), np.float32)
        >>> engine(np.zeros((2, 84, 84, 3), np.uint8), noise).shape
        (2, 84, 84, 3)
    """

    name = "onnxruntime"

    def __init__(
        self,
        folder: StemFolder,
        config: StemConfig,
        *,
        threads: int | None = None,
        max_batch: int = 64,
    ) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch must be at least 1, received {max_batch}")
        self.backbone = folder
        self.config = config
        self.digest = folder.digest()
        self.max_batch = max_batch
        schedule = folder.schedule
        timestep = schedule.timestep(config.num_steps, config.inversion_steps)
        self.alpha_bar = schedule.alpha_bar(timestep)
        self.seconds = {"network": 0.0}
        self.lock = threading.Lock()
        network = folder.autoencoder.config
        self._channels = network["layout_channels"] + network["look_channels"]
        self._threads = num_threads(threads)
        self._graph = inside(folder.path, GRAPH_FILE).read_bytes()
        self._owner: int | None = None  # the process that opened the session below
        self._opened: Any = None
        self._session()

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Shape of the latent, and so of the noise, of a frame: [channels, h, w]."""
        cells = STRIDE // CELL
        return (self._channels, -(-height // STRIDE) * cells, -(-width // STRIDE) * cells)

    def __call__(self, frames: Any, noise: Any) -> NDArray[np.uint8]:
        """Return the stem frames of uint8 ``frames`` [N, H, W, 3] under ``noise`` [N, C, h, w]."""
        frames = np.ascontiguousarray(_as_numpy(frames))
        noise = np.ascontiguousarray(_as_numpy(noise), np.float32)
        count, height, width = frames.shape[:3]
        step = max(1, min(self.max_batch, BATCH_PIXELS // (height * width)))
        session, level = self._session(), np.array(self.alpha_bar, np.float32)
        started = time.perf_counter()
        parts = [
            session.run(
                ["stems"],
                {
                    "frames": frames[first : first + step],
                    "noise": noise[first : first + step],
                    "alpha_bar": level,
                },
            )[0]
            for first in range(0, count, step)
        ]
        took = time.perf_counter() - started
        with self.lock:
            self.seconds["network"] += took
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def faithful(self, frames: Any, noise: Any, stems: Any) -> Any:
        """Return the stem frames that are meant to look like ``frames``."""
        if self.backbone.plain is None:
            return stems
        plain = GraphEngine(self.backbone.plain, self.config, threads=self._threads)
        return plain(frames, noise)

    def _session(self) -> Any:
        """The session of this process: a forked one inherits its parent's without the threads."""
        if self._owner != os.getpid():
            self._opened = _open(self.backbone, self.digest, self._graph, self._threads)
            self._owner = os.getpid()
        return self._opened


class ForeignGraphError(OSError):
    """A graph that was not made of the weights and config beside it."""


def graph_hindrance(  # noqa: PLR0911  (a reason each)
    config: StemConfig, device: str | None, dtype: str
) -> str | None:
    """Why ONNX Runtime cannot run a config here; None where it can.

    Example:
        >>> graph_hindrance(StemConfig(), "cpu", "float32")
        >>> graph_hindrance(StemConfig(method="ddim"), "cpu", "float32")
        "method='ddim' asks a denoiser"
    """
    folder = stem_folder(config.backbone)
    if config.method != "ddpm":
        return f"method={config.method!r} asks a denoiser"
    if not is_stem_folder(folder) or config.codec or config.revision:
        return "it runs the backbones of this package alone"
    if config.resolution is not None:
        return f"resolution={config.resolution!r} resizes frames"
    if dtype != "float32":
        return f"dtype={dtype!r} is not float32"
    if (device or default_device()) != "cpu":
        return f"device={device or default_device()!r} is no CPU"
    plain = StemFolder.named(config.backbone).plain
    for needed in (folder, *([plain.path] if plain else [])):
        if not (needed / GRAPH_FILE).is_file():
            return f"{needed} has no {GRAPH_FILE}"
    return None


def choose_engine(engine: str, config: StemConfig, device: str | None, dtype: str) -> str:
    """Return the engine that runs a config, ``"onnxruntime"`` or ``"torch"``.

    Args:
        engine: one of :data:`ENGINES`; ``"auto"`` takes ONNX Runtime where it can.
        config: what to run.
        device, dtype: where and in what; None is CUDA where there is some, else the CPU.

    Raises:
        ValueError: an unknown engine, or ONNX Runtime for what it cannot run.

    Example:
        >>> choose_engine("auto", StemConfig(), "cpu", "float32")
        'onnxruntime'
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, received {engine!r}")
    if engine == "torch":
        return engine
    hindrance = graph_hindrance(config, device, dtype)
    if hindrance is None:
        return "onnxruntime"
    if engine == "onnxruntime":
        raise ValueError(
            f"engine='onnxruntime' cannot run backbone {config.backbone!r}: {hindrance}; use "
            "engine='auto' or 'torch'"
        )
    if hindrance.endswith(GRAPH_FILE):
        warnings.warn(
            f"PyTorch runs backbone {config.backbone!r}, at a third of the speed: {hindrance}; "
            "write it with `python -m stemob_wrappers.backbones.export FOLDER`",
            stacklevel=3,
        )
    return "torch"


def num_threads(threads: int | None = None) -> int:
    """Return how many threads an engine uses.

    The argument, or ``STEMOB_THREADS``, or as many as this process has processors, 4 at most.

    Raises:
        ValueError: not a whole number from 1.

    Example:
        >>> num_threads(2)
        2
    """
    return _given_threads(threads) or min(MOST_THREADS, len(os.sched_getaffinity(0)))


def torch_threads(threads: int | None, own: int) -> int:
    """Return how many threads PyTorch uses: the argument's, or ``STEMOB_THREADS``, or its ``own``.

    Of its own one is left to other processes, unless they wait for each other asleep: those that
    spin take a busy machine's processors from the very thread they wait for, at every operator (84
    pixels, 2 processors, one other busy process: 480 ms where one thread takes 8).

    Example:
        >>> torch_threads(3, own=8)
        3
    """
    spare = 0 if os.environ.get(WAIT_VARIABLE, "").upper() == "PASSIVE" else 1
    return _given_threads(threads) or max(1, own - spare)


def let_torch_wait_asleep() -> None:
    """Before PyTorch is loaded, tell its threads to wait for each other asleep.

    Its OpenMP reads that once. A choice that the environment makes already stands.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault(WAIT_VARIABLE, "PASSIVE")


def _given_threads(threads: int | None) -> int | None:
    name = THREADS_VARIABLE if threads is None else "threads"
    given = os.environ.get(THREADS_VARIABLE, "") if threads is None else threads
    if given == "":
        return None
    if isinstance(given, bool) or not str(given).isdecimal() or int(given) < 1:
        raise ValueError(f"{name} must be a whole number from 1, received {given!r}")
    return int(given)


def default_device() -> str:
    """Return ``"cuda"`` where PyTorch can use it, else ``"cpu"``.

    Example:
        >>> default_device() in ("cpu", "cuda")
        True
    """
    if "torch" not in sys.modules and not _has_driver():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def network_digest(stored: StoredNetwork) -> str:
    """Hash what a graph is made of: a codec's config and weights."""
    return model_digest({"vae": stored.network}, {})


_sessions: dict[tuple[Any, ...], Any] = {}
_lock = threading.Lock()


def _open(folder: StemFolder, digest: str, graph: bytes, threads: int) -> Any:
    """A session for a graph, one per process and number of threads."""
    key = (os.getpid(), digest, graph, threads)
    with _lock:
        if key not in _sessions:
            _sessions[key] = _new_session(folder, graph, threads)
        return _sessions[key]


def _new_session(folder: StemFolder, graph: bytes, threads: int) -> Any:
    import onnxruntime

    stored, path = folder.autoencoder, folder.path / GRAPH_FILE
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone, which are raised
    # A waiting thread that spins takes the processor from the env workers it waits for.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The weights that were hashed, whatever lies on the disk by now.
    options.add_external_initializers_from_files_in_memory(
        [WEIGHTS_FILE], [stored.data], [len(stored.data)]
    )
    again = f"write it again with `python -m stemob_wrappers.backbones.export {folder.path}`"
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the exceptions of ONNX Runtime have no common class
        raise OSError(
            f"{path} is truncated or corrupt, or fits other weights ({error}); {again}"
        ) from error
    found = session.get_modelmeta().custom_metadata_map
    wanted = {"format": GRAPH_FORMAT, "network": network_digest(stored)}
    if found != wanted:
        raise ForeignGraphError(
            f"{path} was not made of the weights beside it: it says {found}, required is {wanted}; "
            f"{again}"
        )
    return session


def _has_driver() -> bool:
    """Whether NVIDIA's driver is there, which PyTorch needs for CUDA."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _as_numpy(array: Any) -> NDArray[Any]:
    return array if isinstance(array, np.ndarray) else array.numpy(force=True)
