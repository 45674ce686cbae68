"""Weights out of an HDF5 file in the layout of Keras 2 (`save_weights("...hdf5")`).

A whole model saved by Keras 2 holds the same layout in a group `model_weights`. Attributes over
64 kB are split as `name0`, `name1`, ...; text is bytes or str, depending on the writer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kappamask_udf.errors import MissingExtraError, ModelError

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""First bytes of a file. Source: HDF5 File Format Specification, superblock."""


@dataclass(frozen=True)
class KerasLayer:
    """One layer that has weights."""

    name: str
    arrays: tuple[NDArray[np.float32], ...]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the arrays, in order."""
        return tuple(values.shape for values in self.arrays)


def read_keras_layers(path: Path) -> tuple[KerasLayer, ...]:
    """The layers with weights, in the order of the file.

    Raises:
        ModelError: the file cannot be read, is no HDF5 file, is cut off, or has another layout.
        MissingExtraError: h5py is not installed.
    """
    h5py = _h5py()
    _check_signature(path)
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            if not _has_attribute(root, "layer_names"):
                raise ModelError(_other_layout(path, file))
            return tuple(_read_layers(root))
    except ModelError:
        raise
    except KeyError as error:
        raise ModelError(
            f"{path} is damaged: it lists weights that are not in it ({error.args[0]})"
        ) from error
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise ModelError(
            f"{path} cannot be read as HDF5: {str(error).splitlines()[0]}; the file is cut off or "
            "damaged, get it again"
        ) from error


def _check_signature(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    if head.startswith(HDF5_SIGNATURE):
        return
    text = head.lstrip().lower()
    if not head:
        what = "it is empty"
    elif text.startswith((b"<!doctype", b"<html", b"<?xml", b"<error")):
        what = "it is a web page, as a proxy or a server sends in place of a file"
    elif head.startswith(b"version https://git-lfs"):
        what = "it is a Git LFS pointer, not the file it points to"
    elif head.startswith(b"PK\x03\x04"):
        what = "it is a zip archive (Keras 3 or an unpacked download)"
    else:
        what = f"it begins with {head[:8]!r}"
    raise ModelError(f"{path} is not an HDF5 file: {what}; get the weights again")


def _other_layout(path: Path, file: Any) -> str:
    found = ", ".join(sorted(file.keys())[:6]) or "nothing"
    return (
        f"{path} has no attribute layer_names, so it is not in the weight layout of Keras 2 (found "
        f"{found}); files of Keras 3 (.weights.h5) must be saved again with Keras 2"
    )


def _read_layers(root: Any) -> Iterator[KerasLayer]:
    for name in _read_names(root, "layer_names"):
        group = root[name]
        weight_names = _read_names(group, "weight_names")
        if weight_names:
            yield KerasLayer(
                name, tuple(np.asarray(group[one], np.float32) for one in weight_names)
            )


def _has_attribute(node: Any, name: str) -> bool:
    return name in node.attrs or f"{name}0" in node.attrs


def _read_names(node: Any, name: str) -> list[str]:
    """An attribute that is a list of names, put together if it was split."""
    if name in node.attrs:
        parts = [node.attrs[name]]
    else:
        parts = []
        while f"{name}{len(parts)}" in node.attrs:
            parts.append(node.attrs[f"{name}{len(parts)}"])
    # Layers without weights carry an empty list of floats.
    values = [value for part in parts for value in np.atleast_1d(part).tolist()]
    return [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values]


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError(
            "reading Keras weights needs h5py and onnx; install 'openeo-kappamask[import]'"
        ) from error
    return h5py
