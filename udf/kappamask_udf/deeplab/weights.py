"""Weights of the network by layer, matched by position among the weighted layers of a file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray

from kappamask_udf.deeplab.architecture import LayerKind, WeightedLayer, weighted_layers
from kappamask_udf.deeplab.keras_file import KerasLayer
from kappamask_udf.errors import ModelError
from kappamask_udf.pixels import Level

Floats = NDArray[np.float32]
LEVEL_BY_BANDS: Mapping[int, Level] = {13: "L1C", 14: "L2A"}
"""Bands of the network's input: L1C has all 13, L2A lacks B10 and adds AOT and WVP."""
_SHOWN = 6
"""Layers named in a message before it says how many more there are."""


@dataclass(frozen=True)
class NetworkWeights:
    """The weights of one network."""

    n_bands: int
    arrays: Mapping[str, tuple[Floats, ...]]
    """By layer key, in Keras' order and layout."""

    def of(self, kind: LayerKind, index: int) -> tuple[Floats, ...]:
        """Weights of the layer that Keras would call `kind_index`."""
        return self.arrays[f"{kind}_{index}"]

    @property
    def level(self) -> Level:
        """The product level that a network of so many bands is made for."""
        return LEVEL_BY_BANDS[self.n_bands]


def match_layers(layers: Sequence[KerasLayer], origin: str) -> NetworkWeights:
    """The network's weights out of the weighted layers of a file.

    Names in a file depend on what else was built in that Keras session, so layers are matched by
    their order, as Keras itself does, and every shape is compared.

    Raises:
        ModelError: another architecture, another number of bands, or values that are not finite.
    """
    n_bands = _count_bands(layers, origin)
    expected = weighted_layers(n_bands)
    if [layer.shapes for layer in layers] != [layer.shapes for layer in expected]:
        raise ModelError(
            f"{origin} does not hold the weights of KappaMaskv2's DeepLabv3+: "
            f"{'; '.join(_differences(layers, expected))}"
        )
    for layer in layers:
        if not all(np.isfinite(values).all() for values in layer.arrays):
            raise ModelError(
                f"{origin}: the weights of layer {layer.name!r} hold values that are not finite; "
                "the file is damaged or training diverged"
            )
    arrays = {want.key: layer.arrays for want, layer in zip(expected, layers, strict=True)}
    return NetworkWeights(n_bands, arrays)


def _count_bands(layers: Sequence[KerasLayer], origin: str) -> int:
    first = layers[0].shapes[0] if layers and layers[0].shapes else ()
    if len(first) != 4 or (first[:2], first[3]) != ((3, 3), 32):
        found = f"{layers[0].name!r} of shape {list(first)}" if layers else "no layer with weights"
        raise ModelError(
            f"{origin} does not hold the weights of KappaMaskv2's DeepLabv3+: it must begin with a "
            f"3 x 3 convolution to 32 channels, found {found}"
        )
    if first[2] not in LEVEL_BY_BANDS:
        raise ModelError(
            f"{origin} is made for {first[2]} bands; KappaMaskv2 takes 13 (L1C) or 14 (L2A)"
        )
    return first[2]


def _differences(layers: Sequence[KerasLayer], expected: Sequence[WeightedLayer]) -> Iterator[str]:
    """What is missing, superfluous or of another shape, by name."""
    missing: list[str] = []
    superfluous: list[str] = []
    reshaped: list[str] = []
    matcher = SequenceMatcher(
        None, [layer.shapes for layer in layers], [layer.shapes for layer in expected], False
    )
    for operation, lo, hi, want_lo, want_hi in matcher.get_opcodes():
        if operation == "equal":
            continue
        found, wanted = layers[lo:hi], expected[want_lo:want_hi]
        if len(found) == len(wanted):
            reshaped += [
                f"{one.name} has {_shapes(one.shapes)}, {want.key} needs {_shapes(want.shapes)}"
                for one, want in zip(found, wanted, strict=True)
            ]
        else:
            superfluous += [one.name for one in found]
            missing += [want.key for want in wanted]
    yield f"{len(layers)} layers with weights, {len(expected)} expected"
    for label, names in (
        ("missing", missing), ("superfluous", superfluous), ("other shapes", reshaped),
    ):  # fmt: skip
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            yield f"{label}: {', '.join(names[:_SHOWN])}{more}"


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return " + ".join("x".join(map(str, shape)) for shape in shapes) or "none"
