"""Weight files as they occur, and files that are none."""

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from kappamask_udf.deeplab import convert_weights
from kappamask_udf.deeplab.keras_file import read_keras_layers
from kappamask_udf.deeplab.weights import match_layers
from kappamask_udf.errors import ModelError
from tests.deeplab.deterministic import make_layers
from tests.deeplab.keras_files import Variant, write_keras_file

Layers = dict[str, tuple[NDArray[np.float32], ...]]


@pytest.mark.parametrize("variant", ["str", "bytes", "split", "whole model"])
@pytest.mark.parametrize("prefix", ["", "Model/", "other_7_"])
def test_match_layers_any_writer_and_names_gives_same_weights(
    tmp_path: Path, variant: Variant, prefix: str
) -> None:
    layers = make_layers()
    path = write_keras_file(tmp_path / "weights.hdf5", layers, variant, prefix)
    weights = match_layers(read_keras_layers(path), "file")
    assert weights.n_bands == 13
    for key, arrays in layers.items():
        for want, found in zip(arrays, weights.arrays[key], strict=True):
            np.testing.assert_array_equal(found, want)


def _without(key: str) -> Callable[[Layers], Layers]:
    return lambda layers: {name: value for name, value in layers.items() if name != key}


def _with_extra(layers: Layers) -> Layers:
    return {**layers, "dense": (np.zeros((256, 1000), np.float32), np.zeros(1000, np.float32))}


def _reshaped(layers: Layers) -> Layers:
    return {**layers, "conv2d_12": (np.zeros((1, 1, 256, 64), np.float32),)}


def _of_bands(count: int) -> Callable[[Layers], Layers]:
    return lambda layers: {**layers, "conv2d_0": (np.zeros((3, 3, count, 32), np.float32),)}


def _unet(layers: Layers) -> Layers:
    return {"conv2d_0": (np.zeros((3, 3, 13, 64), np.float32), np.zeros(64, np.float32))}


def _not_finite(layers: Layers) -> Layers:
    kernel = layers["conv2d_11"][0].copy()
    kernel[0, 0, 3, 4] = np.nan
    return {**layers, "conv2d_11": (kernel,)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("batch_normalization_20"), "92 layers with weights, 93 expected; missing: batch"),
        (_with_extra, "superfluous: dense"),
        (_reshaped, "other shapes: conv2d_12 has 1x1x256x64, conv2d_12 needs 1x1x256x48"),
        (_of_bands(10), "made for 10 bands; KappaMaskv2 takes 13 .L1C. or 14 .L2A."),
        (_unet, "must begin with a 3 x 3 convolution to 32 channels, found 'conv2d'"),
        (_not_finite, "layer 'conv2d_11' hold values that are not finite"),
    ],
)
def test_convert_weights_of_another_network_raises(
    tmp_path: Path, change: Callable[[Layers], Layers], message: str
) -> None:
    path = write_keras_file(tmp_path / "weights.hdf5", change(make_layers()))
    with pytest.raises(ModelError, match=message):
        convert_weights(path)


def test_convert_weights_that_overflow_raises(tmp_path: Path) -> None:
    layers = make_layers()
    layers["conv2d_14"] = (layers["conv2d_14"][0] * np.float32(1e38),)
    path = write_keras_file(tmp_path / "weights.hdf5", layers)
    with pytest.raises(ModelError, match="gives values that are not finite"):
        convert_weights(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html><body>403</body>", "it is a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer"),
        (b"PK\x03\x04rest", "it is a zip archive"),
        (b"\x08\x07\x12\x04onnx", "it begins with"),
    ],
)
def test_read_keras_layers_of_no_hdf5_raises(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "weights.hdf5"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"is not an HDF5 file: {message}"):
        read_keras_layers(path)


def test_read_keras_layers_of_missing_file_raises(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*: No such file"):
        read_keras_layers(tmp_path / "weights.hdf5")


@pytest.mark.parametrize("share", [0.001, 0.3, 0.999])
def test_read_keras_layers_of_truncated_file_raises(
    tmp_path: Path, weights_l1c: Path, share: float
) -> None:
    path = tmp_path / "weights.hdf5"
    shutil.copy(weights_l1c, path)
    with path.open("r+b") as stream:
        stream.truncate(int(path.stat().st_size * share))
    with pytest.raises(ModelError, match="cut off or damaged"):
        read_keras_layers(path)


def test_read_keras_layers_of_keras_3_raises(tmp_path: Path) -> None:
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_group("layers/conv2d/vars")["0"] = np.zeros(3)
    with pytest.raises(ModelError, match=r"not in the weight layout of Keras 2 \(found layers\)"):
        read_keras_layers(path)


def test_read_keras_layers_lists_weights_that_are_not_there_raises(tmp_path: Path) -> None:
    path = write_keras_file(tmp_path / "weights.hdf5", make_layers())
    with h5py.File(path, "r+") as file:
        del file["conv2d_8"]
    with pytest.raises(ModelError, match="lists weights that are not in it"):
        read_keras_layers(path)
