"""The network layer by layer as Keras runs it, as an ONNX graph: nothing folded, nothing moved.

It is what the fast graph is compared with, for every file that is converted and in benchmarks.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from kappamask_udf.deeplab.architecture import (
    ATROUS_RATES,
    BATCH_NORM_EPSILON,
    N_CLASSES,
    OUTPUT_STRIDE,
    wire,
)
from kappamask_udf.deeplab.builder import GraphBuilder
from kappamask_udf.deeplab.graph import check_tile
from kappamask_udf.deeplab.weights import NetworkWeights

Floats = NDArray[np.float32]


def build_literal_graph(weights: NetworkWeights, tile_px: int) -> onnx.ModelProto:
    """The network for tiles of `tile_px`, any number at a time.

    Its input `tiles` is (n, tile, tile, bands) float32, scaled; its output `probabilities` is
    (n, tile, tile, 6) float32.

    Raises:
        ValueError: the network cannot run with tiles of that size.
    """
    check_tile(tile_px)
    writer = _LiteralWriter(GraphBuilder(), weights, tile_px)
    graph = writer.graph
    scores = wire(writer, graph.node("Transpose", ["tiles"], perm=[0, 3, 1, 2]))
    last = graph.node("Softmax", [graph.node("Transpose", [scores], perm=[0, 2, 3, 1])], axis=-1)
    graph.rename(last, "probabilities")
    return graph.model(
        "kappamask-v2-literal",
        {"tiles": ["n", tile_px, tile_px, weights.n_bands]},
        {"probabilities": ["n", tile_px, tile_px, N_CLASSES]},
        "KappaMaskv2 (DeepLabv3+), layer by layer as Keras runs it",
    )


class _LiteralWriter:
    """The `LayerWriter` of this graph."""

    def __init__(self, graph: GraphBuilder, weights: NetworkWeights, tile_px: int):
        self.graph, self._weights, self._tile_px = graph, weights, tile_px

    def conv(self, x: str, index: int, norm: int, *, stride: int = 1, relu: bool = True) -> str:
        side = self._weights.of("conv2d", index)[0].shape[0]
        if side == 3:
            x = self._pad(x, 1 if stride == 1 else 0, 1)
        return self._normalised(self._conv(x, index, strides=[stride, stride]), norm, relu)

    def separable(self, x: str, index: int, norm: int, *, relu: bool = True) -> str:
        depthwise, pointwise = self._weights.of("separable_conv2d", index)
        name = f"separable_conv2d_{index}"
        taps = self.graph.weight(f"{name}/depthwise", depthwise.transpose(2, 3, 0, 1))
        x = self.graph.node("Conv", [self._pad(x, 1, 1), taps], group=depthwise.shape[2])
        kernel = self.graph.weight(f"{name}/pointwise", pointwise.transpose(3, 2, 0, 1))
        return self._normalised(self.graph.node("Conv", [x, kernel]), norm, relu)

    def relu(self, x: str) -> str:
        return self.graph.node("Relu", [x])

    def add(self, x: str, y: str) -> str:
        return self.graph.node("Add", [x, y])

    def max_pool(self, x: str) -> str:
        padded = self._pad(x, 0, 1)
        return self.graph.node("MaxPool", [padded], kernel_shape=[3, 3], strides=[2, 2])

    def pyramid(self, x: str) -> str:
        pooled = self.conv(self.graph.node("GlobalAveragePool", [x]), 6, 40)
        side = self._tile_px // OUTPUT_STRIDE
        branches = [self._upsample(pooled, side), self.conv(x, 7, 41)]
        for rate, index in zip(ATROUS_RATES, (8, 9, 10), strict=True):
            padded = self._mirror(x, side, rate)
            branches.append(
                self._normalised(self._conv(padded, index, dilations=[rate, rate]), index + 34)
            )
        return self.conv(self.graph.node("Concat", branches, axis=1), 11, 45)

    def refine(self, deep: str, skip: str) -> str:
        return self.conv(self.graph.node("Concat", [self._upsample(deep, 4), skip], axis=1), 13, 47)

    def classify(self, x: str) -> str:
        return self._conv(self._upsample(x, 4), 15)

    def _conv(
        self,
        x: str,
        index: int,
        strides: Sequence[int] = (1, 1),
        dilations: Sequence[int] = (1, 1),
    ) -> str:
        kernel, *bias = self._weights.of("conv2d", index)
        inputs = [x, self.graph.weight(f"conv2d_{index}/kernel", kernel.transpose(3, 2, 0, 1))]
        inputs += [self.graph.weight(f"conv2d_{index}/bias", values) for values in bias]
        return self.graph.node("Conv", inputs, strides=list(strides), dilations=list(dilations))

    def _normalised(self, x: str, norm: int, relu: bool = True) -> str:
        names = [
            self.graph.weight(f"batch_normalization_{norm}/{number}", values)
            for number, values in enumerate(self._weights.of("batch_normalization", norm))
        ]
        y = self.graph.node("BatchNormalization", [x, *names], epsilon=BATCH_NORM_EPSILON)
        return self.relu(y) if relu else y

    def _pad(self, x: str, before: int, after: int) -> str:
        pads = self.graph.indices((0, 0, before, before, 0, 0, after, after))
        return self.graph.node("Pad", [x, pads], mode="edge")

    def _mirror(self, x: str, side: int, width: int) -> str:
        """Padded by `width` on all sides, edge repeated (-1 -> 0, -2 -> 1)."""
        positions = np.pad(np.arange(side), width, mode="symmetric")
        for axis in (2, 3):
            x = self.graph.node("Gather", [x, self.graph.indices(positions.tolist())], axis=axis)
        return x

    def _upsample(self, x: str, factor: int) -> str:
        scales = self.graph.weight(f"{x}/scales", np.array([1, 1, factor, factor], np.float32))
        return self.graph.node(
            "Resize", [x, "", scales], mode="linear", coordinate_transformation_mode="half_pixel"
        )
