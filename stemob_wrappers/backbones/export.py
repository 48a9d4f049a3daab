"""Write a backbone's way of a frame as one ONNX graph: uint8 frames in, uint8 stem frames out.

    python -m stemob_wrappers.backbones.export FOLDER [FOLDER ...]

The graph holds no weights: its tensors are places in the safetensors file beside it (ONNX's
"external data": a file, an offset, a length), so nothing is kept twice. What follows from weights
alone, such as the normalisation that goes into a convolution, is written as operators on them,
which ONNX Runtime computes once, when it opens the graph.

It computes what ``StemAutoencoder`` and ``stem/inverter.py`` do, in an order that suits ONNX
Runtime: pixels become blocks by a convolution, and blocks pixels by two transpositions.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("train"):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

from stemob_wrappers.backbones.engines import (
    GRAPH_FILE,
    GRAPH_FORMAT,
    WEIGHTS_FILE,
    network_digest,
)
from stemob_wrappers.backbones.stored import StoredNetwork, read_network
from stemob_wrappers.work import whole_file

OPSET = 18
IR_VERSION = 10  # of the file; ONNX Runtime reads it since version 1.18
CELL = 4  # pixels a latent cell is wide
PIXELS = 3 * CELL**2  # numbers in a cell of the frame
BATCH_NORM_EPSILON = 1e-5


def write_graph(folder: Path) -> Path:
    """Write the graph of a backbone of ours into its folder, and return its path.

    Raises:
        OSError, ValueError: the folder holds no codec of ours, or a bad one.

    Example:
        >>> import shutil
        >>> from stemob_wrappers.backbones.folder import WEIGHTS
        >>> folder = Path(shutil.copytree(WEIGHTS / "embedded-v2", "backbone"))
        >>> write_graph(folder).name
        'frame.onnx'
    """
    path = folder / GRAPH_FILE
    with whole_file(path) as temporary:
        temporary.write_bytes(frame_graph(read_network(folder, "vae")))
    return path


def frame_graph(stored: StoredNetwork) -> bytes:
    """Return the graph of a codec, the same bytes for the same codec.

    Inputs: ``frames`` uint8 [N, H, W, 3], ``noise`` float32 [N, C, h, w] whose size says what the
    frames are padded to, ``alpha_bar`` float32 [], the noise level. Output: ``stems`` uint8
    [N, H, W, 3].

    Raises:
        ValueError: no StemAutoencoder, or its weights are not float32.
    """
    if stored.config["_class_name"] != "StemAutoencoder":
        raise ValueError(
            f"{stored.folder} holds a {stored.config['_class_name']}, of which no graph is known; "
            "a StemAutoencoder is required"
        )
    graph = _FrameGraph(stored)
    graph.build()
    channels = graph.layout + graph.look
    frames, noise = ["N", "H", "W", 3], ["N", channels, "h", "w"]
    used = {name for node in graph.nodes for name in node.input}
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "frame",
            [
                helper.make_tensor_value_info("frames", TensorProto.UINT8, frames),
                helper.make_tensor_value_info("noise", TensorProto.FLOAT, noise),
                helper.make_tensor_value_info("alpha_bar", TensorProto.FLOAT, []),
            ],
            [helper.make_tensor_value_info("stems", TensorProto.UINT8, frames)],
            [tensor for tensor in graph.tensors if tensor.name in used],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="stemob_wrappers",
        ir_version=IR_VERSION,
    )
    metadata = {"format": GRAPH_FORMAT, "network": network_digest(stored)}
    helper.set_model_props(model, metadata)
    return model.SerializeToString(deterministic=True)


class _Nodes:
    """ONNX nodes in the order they are added, and the tensors that they read."""

    def __init__(self, tensors: list[onnx.TensorProto]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors = tensors
        self._names: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return the name of its result."""
        return self.add_split(operator, *inputs, parts=1, **attributes)[0]

    def add_split(self, operator: str, *inputs: str, parts: int, **attributes: Any) -> list[str]:
        """Add a node of several results and return their names."""
        names = [f"{operator.lower()}{len(self.nodes)}.{part}" for part in range(parts)]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names

    def floats(self, values: Any) -> str:
        return self._constant(np.asarray(values, np.float32))

    def ints(self, *values: int) -> str:
        return self._constant(np.asarray(values, np.int64))

    def _constant(self, array: NDArray[Any]) -> str:
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._names:
            self._names[key] = f"constant{len(self._names)}"
            self.tensors.append(numpy_helper.from_array(array, self._names[key]))
        return self._names[key]


class _FrameGraph(_Nodes):
    """The nodes of one codec. Names of weights are those of its state dict."""

    def __init__(self, stored: StoredNetwork) -> None:
        places = _places(stored)
        super().__init__(places)
        self.weights = {tensor.name for tensor in places}
        config = stored.config
        self.layout, self.look = config["layout_channels"], config["look_channels"]
        self.look_scale = config["look_scale"]
        self.width, self.faithful = config["width"], config["faithful"]
        loud = (self.layout + self.look * (1 - self.look_scale**2)) / self.layout
        scale = [loud**0.5] * self.layout + [self.look_scale] * self.look
        self.scale = np.array(scale, np.float32)  # of the latents, as StemAutoencoder has it

    def build(self) -> None:
        cells = self.add("Shape", "noise", start=2, end=4)
        size = self.add("Shape", "frames", start=1, end=3)
        padded = self.add("Mul", cells, self.ints(CELL))
        missing = self.add("Sub", padded, size)
        pads = self.add("Concat", self.ints(0, 0, 0, 0, 0), missing, self.ints(0), axis=0)
        blocks = self._blocks(self.add("Pad", "frames", pads, mode="edge"))
        grey_levels = self._decode(self._encode(blocks))
        pixels = self._pixels(grey_levels, cells, padded)
        self.nodes.append(
            helper.make_node(
                "Slice", [pixels, self.ints(0, 0), size, self.ints(1, 2)], ["stems"], "stems"
            )
        )

    def _blocks(self, frames: str) -> str:
        """uint8 [N, H, W, 3] to [N, 48, H / 4, W / 4] in [-1, 1], ordered as pixel_unshuffle does.

        One convolution, whose weights are 0 but for one each, scales and shifts too.
        """
        images = self.add("Transpose", frames, perm=[0, 3, 1, 2])
        images = self.add("Cast", images, to=TensorProto.FLOAT)
        pick = np.eye(PIXELS).reshape(PIXELS, 3, CELL, CELL) / 127.5
        return self._convolve(images, self.floats(pick), self.floats(-np.ones(PIXELS)), CELL, 0)

    def _encode(self, blocks: str) -> str:
        """Blocks to latents; what normalises and scales them goes into the last convolutions."""
        deviation = self.add(
            "Sqrt",
            self.add("Add", "encoder.normalise.running_var", self.floats(BATCH_NORM_EPSILON)),
        )
        factor = self.add("Div", self.floats(self.scale), deviation)
        mean = self.add("Mul", "encoder.normalise.running_mean", factor)
        parts = self.ints(self.layout, self.look)
        factors = self.add_split("Split", factor, parts, parts=2)
        means = self.add_split("Split", mean, parts, parts=2)

        hidden = self._relu(self._conv(blocks, "encoder.first"))
        hidden = self._relu(self._context(hidden, "encoder", after=False))
        latents = []
        for part, source in enumerate((hidden, blocks)):
            name = ("encoder.layout", "encoder.look")[part]
            by_channel = self.add("Reshape", factors[part], self.ints(-1, 1, 1, 1))
            weight = self.add("Mul", f"{name}.weight", by_channel)
            bias = self.add("Mul", f"{name}.bias", factors[part])
            bias = self.add("Sub", bias, means[part])
            latents.append(self._convolve(source, weight, bias))
        return self.add("Concat", *latents, axis=1)

    def _decode(self, latents: str) -> str:
        """Latents to grey levels and one half, [N, 48, h, w], channels by (row, column, RGB).

        The noise is added on the way, and what is left of the latents scaled by a Wiener filter.
        """
        one = self.floats(1)
        variance = self.add("Sub", one, "alpha_bar")
        signal, sigma = self.add("Sqrt", "alpha_bar"), self.add("Sqrt", variance)
        scale = self.scale.reshape(1, -1, 1, 1)
        power = self.add("Mul", "alpha_bar", self.floats(scale**2))
        gain = self.add("Mul", signal, self.floats(scale))
        gain = self.add("Div", gain, self.add("Add", power, variance))
        latents = self.add("Mul", latents, self.add("Mul", gain, signal))
        noise = self.add("Mul", "noise", self.add("Mul", gain, sigma))
        latents = self.add("Add", latents, noise)

        level_gain, level_bias, share = self._level(sigma)
        hidden = self._conv(latents, "decoder.first")
        hidden = self.add("Mul", hidden, self.add("Add", level_gain, one))
        hidden = self._relu(self.add("Add", hidden, level_bias))
        hidden = self._relu(self._context(hidden, "decoder", after=True))
        share = self.add("Add", self._pixels_last(share, 1), one)
        if self.faithful:
            noisy = self.add("Div", sigma, self.add("Add", sigma, self.floats(self.look_scale)))
            share = self.add("Mul", share, noisy)
        levels = self.add("Mul", self._conv_to_levels(hidden, "decoder.last"), share)
        half = self.floats(128.0)  # 127.5, and a half to round by
        if not self.faithful:
            return self.add("Add", levels, half)
        first, end = self.ints(self.layout), self.ints(self.layout + self.look)
        looks = self.add("Slice", latents, first, end, self.ints(1))
        return self.add("Add", self._conv_to_levels(looks, "decoder.look", half), levels)

    def _level(self, sigma: str) -> list[str]:
        """What the noise level asks of the decoder, three times [1, C, 1, 1]."""
        level = self.add("Reshape", sigma, self.ints(1, 1))
        for layer in ("decoder.level.0", "decoder.level.2"):
            level = level if layer.endswith("0") else self._relu(level)
            level = self.add("Gemm", level, f"{layer}.weight", f"{layer}.bias", transB=1)
        level = self.add("Reshape", level, self.ints(1, -1, 1, 1))
        parts = self.ints(self.width, self.width, PIXELS)
        return self.add_split("Split", level, parts, parts=3, axis=1)

    def _context(self, x: str, network: str, after: bool) -> str:
        """The residual block at a half and a quarter of the resolution."""
        name = f"{network}.context"
        down = self._relu(self._conv(x, f"{name}.down", stride=2, padding=0))
        before = self._relu(self._conv(down, f"{name}.before"))
        deep = self._relu(self._conv(before, f"{name}.deep.0", stride=2))
        deep = self._relu(self._conv(deep, f"{name}.deep.2"))
        deep = self._relu(self._conv(deep, f"{name}.deep.4"))
        deep = self._residual(deep, f"{name}.deep_blocks")
        deep = self._conv(deep, f"{name}.deep.6", padding=0)
        deep = self.add(
            "Resize",
            *(deep, "", self.floats([1, 1, 2, 2])),
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )
        size = self.add("Shape", before, start=2, end=4)
        deep = self.add("Slice", deep, self.ints(0, 0), size, self.ints(2, 3))
        context = self._relu(self.add("Add", self.add("Add", down, before), deep))
        if after:
            context = self._relu(self.add("Add", context, self._conv(context, f"{name}.after")))
        context = self._residual(context, f"{name}.context_blocks")
        up = self._conv(context, f"{name}.up", padding=0)
        return self.add("Add", x, self.add("DepthToSpace", up, blocksize=2, mode="CRD"))

    def _residual(self, x: str, name: str) -> str:
        """The residual blocks of this name, however many there are."""
        block = 0
        while f"{name}.{block}.first.weight" in self.weights:
            added = self._relu(self._conv(x, f"{name}.{block}.first"))
            x = self._relu(self.add("Add", x, self._conv(added, f"{name}.{block}.second")))
            block += 1
        return x

    def _pixels(self, levels: str, cells: str, padded: str) -> str:
        """Grey levels [N, 48, h, w] to uint8 [N, 4 h, 4 w, 3]; rounding was left to the cast."""
        levels = self.add("Clip", levels, self.floats(0), self.floats(255))
        levels = self.add("Cast", levels, to=TensorProto.UINT8)
        rows = self.add("Transpose", levels, perm=[0, 2, 3, 1])
        shape = self.add("Concat", self.ints(0), cells, self.ints(CELL, CELL * 3), axis=0)
        rows = self.add("Transpose", self.add("Reshape", rows, shape), perm=[0, 1, 3, 2, 4])
        shape = self.add("Concat", self.ints(0), padded, self.ints(3), axis=0)
        return self.add("Reshape", rows, shape)

    def _conv_to_levels(self, x: str, name: str, added: str = "") -> str:
        """A convolution to pixels, which gives grey levels, its channels in order of memory."""
        scale = self.floats(127.5)
        weight = self.add("Mul", self._pixels_last(f"{name}.weight", 0), scale)
        bias = self.add("Mul", self._pixels_last(f"{name}.bias", 0), scale)
        return self._convolve(x, weight, self.add("Add", bias, added) if added else bias)

    def _pixels_last(self, x: str, axis: int) -> str:
        """Order an axis of 48 by (row, column, RGB), which is (RGB, row, column)."""
        places = np.arange(PIXELS).reshape(3, CELL**2).T.ravel().tolist()
        return self.add("Gather", x, self.ints(*places), axis=axis)

    def _conv(self, x: str, name: str, stride: int = 1, padding: int = 1) -> str:
        return self._convolve(x, f"{name}.weight", f"{name}.bias", stride, padding)

    def _convolve(self, x: str, weight: str, bias: str, stride: int = 1, padding: int = 1) -> str:
        return self.add("Conv", x, weight, bias, strides=[stride] * 2, pads=[padding] * 4)

    def _relu(self, x: str) -> str:
        return self.add("Relu", x)


def _places(stored: StoredNetwork) -> list[onnx.TensorProto]:
    """The weights as places in their safetensors file."""
    (length,) = struct.unpack("<Q", stored.data[:8])
    header = json.loads(stored.data[8 : 8 + length])
    tensors = []
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] == "I64":  # counts that nothing reads
            continue
        if entry["dtype"] != "F32":
            raise ValueError(
                f"{name} in {stored.folder} is {entry['dtype']}; a graph needs F32: save the "
                "network again in it"
            )
        start, end = entry["data_offsets"]
        tensor = TensorProto(name=name, dims=entry["shape"], data_type=TensorProto.FLOAT)
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": WEIGHTS_FILE, "offset": 8 + length + start, "length": end - start}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        tensors.append(tensor)
    return tensors


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(write_graph(Path(argument)))
