"""The DeepLabv3+ network of KappaMaskv2: its weighted layers and how they are wired, written once.

Layers are numbered as Keras numbers them when it builds the network: `conv2d_k`,
`separable_conv2d_k`, `batch_normalization_k`; indices that belong to the unused end of the Xception
backbone do not occur. Source of every number: kappazeta/km_predict at 8549ad36, `architectures.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

N_CLASSES = 6
OUTPUT_STRIDE = 16
"""Pixels of a tile per cell of the deepest feature map."""
MIN_TILE_PX = 288
"""The widest symmetric padding, 18 cells, must not be wider than the deepest map: 18 * 16."""
ATROUS_RATES = (6, 12, 18)
BATCH_NORM_EPSILON = 1e-3
MIDDLE_BLOCKS = 8

LayerKind = Literal["conv2d", "separable_conv2d", "batch_normalization"]


@dataclass(frozen=True)
class WeightedLayer:
    """A layer with weights, as Keras would name it, and the shapes of those in Keras' order."""

    kind: LayerKind
    index: int
    shapes: tuple[tuple[int, ...], ...]

    @property
    def key(self) -> str:
        """Kind and index, `conv2d_0` for the first."""
        return f"{self.kind}_{self.index}"


def weighted_layers(n_bands: int) -> tuple[WeightedLayer, ...]:
    """All layers with weights in the order of a Keras weight file, which is that of graph depth."""
    return tuple(_walk_layers(n_bands))


def _conv(index: int, side: int, n_in: int, n_out: int, bias: bool = False) -> WeightedLayer:
    kernel = (side, side, n_in, n_out)
    return WeightedLayer("conv2d", index, (kernel, (n_out,)) if bias else (kernel,))


def _separable(index: int, n_in: int, n_out: int) -> WeightedLayer:
    return WeightedLayer("separable_conv2d", index, ((3, 3, n_in, 1), (1, 1, n_in, n_out)))


def _norm(index: int, n: int) -> WeightedLayer:
    return WeightedLayer("batch_normalization", index, ((n,),) * 4)


def _walk_layers(n_bands: int) -> Iterator[WeightedLayer]:
    yield from (_conv(0, 3, n_bands, 32), _norm(0, 32), _conv(1, 3, 32, 64), _norm(1, 64))
    yield from (_separable(0, 64, 128), _norm(2, 128), _separable(1, 128, 128), _norm(3, 128))
    yield from (_conv(2, 1, 64, 128), _norm(4, 128))
    yield from (_separable(2, 128, 256), _norm(5, 256), _separable(3, 256, 256), _norm(6, 256))
    yield from (_conv(3, 1, 128, 256), _norm(7, 256))
    yield from (_separable(4, 256, 728), _norm(8, 728), _separable(5, 728, 728), _norm(9, 728))
    yield from (_conv(4, 1, 256, 728), _norm(10, 728))
    for index in range(6, 6 + 3 * MIDDLE_BLOCKS):
        yield from (_separable(index, 728, 728), _norm(index + 5, 728))
    yield from (_separable(30, 728, 728), _norm(35, 728))
    yield from (_separable(31, 728, 1024), _norm(36, 1024))
    yield from (_conv(6, 1, 1024, 256, bias=True), _norm(40, 256), _conv(7, 1, 1024, 256))
    yield from (_conv(index, 3, 1024, 256) for index in (8, 9, 10))
    yield from (_norm(index, 256) for index in (41, 42, 43, 44))
    yield from (_conv(11, 1, 1280, 256), _norm(45, 256), _conv(12, 1, 256, 48), _norm(46, 48))
    yield from (_conv(13, 3, 304, 256), _norm(47, 256), _conv(14, 3, 256, 256), _norm(48, 256))
    yield _conv(15, 1, 256, N_CLASSES, bias=True)


class LayerWriter(Protocol):
    """Writes layers into a graph; tensors go by name. All convolutions and pools pad symmetrically
    (edge pixel repeated), `conv` and `separable` end in batch normalisation.
    """

    def conv(self, x: str, index: int, norm: int, *, stride: int = 1, relu: bool = True) -> str:
        """Convolution `index`, normalisation `norm` and, unless told otherwise, ReLU."""
        ...

    def separable(self, x: str, index: int, norm: int, *, relu: bool = True) -> str:
        """Depthwise 3 x 3, pointwise, normalisation, ReLU."""
        ...

    def relu(self, x: str) -> str:
        """Rectified `x`."""
        ...

    def add(self, x: str, y: str) -> str:
        """Sum of two tensors of one shape."""
        ...

    def max_pool(self, x: str) -> str:
        """3 x 3, stride 2."""
        ...

    def pyramid(self, x: str) -> str:
        """Atrous spatial pyramid pooling on the deepest map, up to its projection to 256
        channels: convolutions 6 to 11, normalisations 40 to 45.
        """
        ...

    def refine(self, deep: str, skip: str) -> str:
        """Convolution 13, normalisation 47 and ReLU over the channels of `deep`, made 4 times
        finer (bilinear, half-pixel centres, edge clamped), then those of `skip`.
        """
        ...

    def classify(self, x: str) -> str:
        """Scores of the classes, 4 times finer than `x`: convolution 15 and upsampling."""
        ...


def wire(write: LayerWriter, tile: str) -> str:
    """Write the network and return the name of its scores (before softmax)."""
    x, skip = _entry_flow(write, tile)
    for block in range(MIDDLE_BLOCKS):
        x = _middle_block(write, x, first=6 + 3 * block)
    x = write.separable(write.relu(x), 30, 35)
    x = write.separable(x, 31, 36, relu=False)
    x = write.refine(write.pyramid(x), write.conv(skip, 12, 46))
    return write.classify(write.conv(x, 14, 48))


def _entry_flow(write: LayerWriter, tile: str) -> tuple[str, str]:
    """The deepest map's input and the decoder's skip connection.

    Unlike in Xception, the second and third shortcut begin at the shortcut before.
    """
    x = write.conv(write.conv(tile, 0, 0, stride=2), 1, 1)
    shortcut = write.conv(x, 2, 4, stride=2, relu=False)
    x = write.separable(write.separable(x, 0, 2), 1, 3, relu=False)
    x = write.add(shortcut, write.max_pool(x))

    shortcut = write.conv(shortcut, 3, 7, stride=2, relu=False)
    # The skip is taken before ReLU, as are the inputs of the pools.
    skip = write.separable(write.separable(write.relu(x), 2, 5), 3, 6, relu=False)
    x = write.add(shortcut, write.max_pool(skip))

    shortcut = write.conv(shortcut, 4, 10, stride=2, relu=False)
    x = write.separable(write.separable(write.relu(x), 4, 8), 5, 9, relu=False)
    return write.add(shortcut, write.max_pool(x)), skip


def _middle_block(write: LayerWriter, x: str, first: int) -> str:
    inner = write.relu(x)
    for index in range(first, first + 3):
        inner = write.separable(inner, index, index + 5)
    return write.add(x, inner)
