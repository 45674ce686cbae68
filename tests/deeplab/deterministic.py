"""Weights and an input for the network from formulas, so that no weight file is needed.

`data/reference_l1c.npz` holds what the original network (TensorFlow 2.15, CPU) answered for them.
The digests below say that the arrays are the ones it was asked with.
"""

import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kappamask_udf.deeplab.architecture import weighted_layers

Floats = NDArray[np.float32]

WEIGHTS_SHA256 = "ef509ff737801d744ce1712e3eea53d193ba2bf47efc1078f08a63704a58a0fe"
INPUT_SHA256 = "acfb2fe23f063ad458984ba21213b7ecafa23affd98f193d94aa21d588f642fd"
POINTWISE_GAIN = 1.5
FINAL_BIAS = (2.2, 0.1, 3.8, -2.4, -0.6, -2.7)
"""Balances the six classes."""
WEIGHT_NAMES = {
    "conv2d": ("kernel", "bias"),
    "separable_conv2d": ("depthwise_kernel", "pointwise_kernel"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}


def make_weight(key: str, shape: tuple[int, ...]) -> Floats:
    """The weight `key`, `conv2d_0/kernel`, in Keras' layout."""
    rng = np.random.default_rng(zlib.crc32(key.encode("ascii")))
    name = key.split("/")[1]
    if key == "conv2d_15/bias":
        return np.array(FINAL_BIAS, np.float32)
    if name in ("kernel", "pointwise_kernel"):
        gain = 2.0 if name == "kernel" else POINTWISE_GAIN
        values = rng.normal(0.0, np.sqrt(gain / np.prod(shape[:3])), shape)
        values = values - values.mean(axis=(0, 1, 2), keepdims=True)
    elif name == "depthwise_kernel":
        values = rng.normal(0.0, 0.15, shape)
        values[1, 1] += 1.0
    elif name == "gamma":
        values = 1.0 + rng.normal(0.0, 0.1, shape)
    elif name == "moving_variance":
        values = rng.uniform(0.5, 1.5, shape)
    else:
        values = rng.normal(0.0, 0.1, shape)
    return values.astype(np.float32)


def make_layers(n_bands: int = 13) -> dict[str, tuple[Floats, ...]]:
    """All weights by layer key, in the order of a Keras file."""
    return {
        layer.key: tuple(
            make_weight(f"{layer.key}/{name}", shape)
            for name, shape in zip(WEIGHT_NAMES[layer.kind], layer.shapes, strict=False)
        )
        for layer in weighted_layers(n_bands)
    }


def with_zero_band(layers: Mapping[str, tuple[Floats, ...]]) -> dict[str, tuple[Floats, ...]]:
    """The L2A network that does not look at its 14th band."""
    kernel = layers["conv2d_0"][0]
    zero = np.zeros((*kernel.shape[:2], 1, kernel.shape[3]), np.float32)
    return {**layers, "conv2d_0": (np.concatenate([kernel, zero], axis=2),)}


def _ring_mean(values: NDArray[np.float64], length: int, axis: int) -> NDArray[np.float64]:
    total = np.zeros_like(values)
    for shift in range(-(length // 2), length // 2 + 1):
        total = total + np.roll(values, shift, axis=axis)
    return total / length


def make_input(n_bands: int = 13, size: int = 512) -> Floats:
    """(1, size, size, bands) float32, not negative, smooth at two scales."""
    noise = np.random.default_rng(0).random((size, size, n_bands))
    fine = _ring_mean(_ring_mean(noise, 9, 0), 9, 1)
    coarse = _ring_mean(_ring_mean(fine, 65, 0), 65, 1)
    values = 0.3 + 3.0 * (fine - coarse) + 25.0 * (coarse - 0.5)
    return np.maximum(values, 0.0).astype(np.float32)[None]
