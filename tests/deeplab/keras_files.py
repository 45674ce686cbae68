"""HDF5 files in the layout of Keras 2, in the variants that occur."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from tests.deeplab.deterministic import WEIGHT_NAMES

Variant = Literal["str", "bytes", "split", "whole model"]


def write_keras_file(
    path: Path,
    layers: Mapping[str, Sequence[NDArray[np.float32]]],
    variant: Variant = "str",
    prefix: str = "",
) -> Path:
    """Write weights as Keras 2 does, weightless layers between those with weights.

    Args:
        path: the file.
        layers: weights by layer key, in the order of the file.
        variant: how attributes are written, and where.
        prefix: of every layer's name, as in a session that built something else before.
    """
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if variant == "whole model" else file
        root.attrs["backend"] = "tensorflow"
        root.attrs["keras_version"] = "2.15.0"
        names = []
        for number, (key, arrays) in enumerate(layers.items()):
            for name in (f"custom_pad_{number}", prefix + key.removesuffix("_0")):
                names.append(name)
                root.create_group(name)
            _write_names(root[names[-2]], "weight_names", [], "str")
            _write_layer(root[names[-1]], names[-1], key, arrays, variant)
        _write_names(root, "layer_names", names, variant)
        if variant == "str":
            _write_names(file.create_group("top_level_model_weights"), "weight_names", [], "str")
    return path


def _write_layer(
    group: h5py.Group,
    name: str,
    key: str,
    arrays: Sequence[NDArray[np.float32]],
    variant: Variant,
) -> None:
    kind = key.rpartition("_")[0]
    paths = [
        f"{name}/{WEIGHT_NAMES.get(kind, ('kernel', 'bias'))[number]}:0"
        for number in range(len(arrays))
    ]
    _write_names(group, "weight_names", paths, variant)
    for path, values in zip(paths, arrays, strict=True):
        group.create_dataset(path, data=values)


def _write_names(node: h5py.Group, name: str, values: list[str], variant: Variant) -> None:
    if not values:
        node.attrs[name] = np.empty(0)
    elif variant == "split":
        half = len(values) // 2
        for number, part in enumerate((values[:half], values[half:])):
            node.attrs[f"{name}{number}"] = np.array([one.encode() for one in part] or np.empty(0))
    elif variant == "bytes":
        node.attrs[name] = np.array([value.encode() for value in values])
    else:
        node.attrs[name] = values
