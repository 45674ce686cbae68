"""The converted network gives the numbers of the original, as TensorFlow computed them."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kappamask_udf.deeplab import convert_weights
from kappamask_udf.deeplab.graph import build_graph, mirrored, upsampled_taps
from kappamask_udf.deeplab.literal import build_literal_graph
from kappamask_udf.deeplab.weights import NetworkWeights
from kappamask_udf.runtimes import run_once
from kappamask_udf.session import softmax
from tests.deeplab.deterministic import (
    INPUT_SHA256,
    WEIGHT_NAMES,
    WEIGHTS_SHA256,
    make_input,
    make_layers,
)

Floats = NDArray[np.float32]
REFERENCE = Path(__file__).parent / "data" / "reference_l1c.npz"
TOLERANCE = 1e-4
"""Float32 sums in another order; a single mistake in the network changes half of the classes."""


def probabilities(weights: Path, tile: Floats) -> Floats:
    """(512, 512, 6) of one tile (512, 512, bands)."""
    network = convert_weights(weights).network
    feed = np.ascontiguousarray(tile.transpose(2, 0, 1)[None])
    return softmax(run_once(network, feed))[0].transpose(1, 2, 0)


def assert_equals_reference(answer: Floats) -> None:
    reference = np.load(REFERENCE)
    for (row, col), want in zip(reference["crops"], reference["probs"], strict=True):
        assert np.abs(answer[row : row + 64, col : col + 64] - want).max() < TOLERANCE
    best = np.sort(answer, axis=-1)
    is_tie = best[..., -1] - best[..., -2] < TOLERANCE
    assert is_tie.mean() < 1e-3
    np.testing.assert_array_equal(answer.argmax(axis=-1)[~is_tie], reference["argmax"][~is_tie])


def test_deterministic_arrays_are_those_of_the_reference() -> None:
    digest = sha256()
    weights = {
        f"{layer}/{name}": values
        for layer, arrays in make_layers().items()
        for name, values in zip(WEIGHT_NAMES[layer.rpartition("_")[0]], arrays, strict=False)
    }
    for key in sorted(weights):
        digest.update(key.encode("ascii"))
        digest.update(np.ascontiguousarray(weights[key], dtype="<f4").tobytes())
    assert digest.hexdigest() == WEIGHTS_SHA256
    assert sha256(make_input().tobytes()).hexdigest() == INPUT_SHA256


def test_converted_l1c_equals_tensorflow(weights_l1c: Path) -> None:
    assert_equals_reference(probabilities(weights_l1c, make_input()[0]))


def test_converted_l2a_with_zero_band_equals_tensorflow_l1c(weights_l2a: Path) -> None:
    tile = make_input()[0]
    zero = np.zeros((*tile.shape[:2], 1), np.float32)
    assert_equals_reference(probabilities(weights_l2a, np.concatenate([tile, zero], axis=2)))


@pytest.mark.parametrize("tile_px", [288, 304])
def test_graph_of_another_tile_size_equals_literal_graph(tile_px: int) -> None:
    weights = NetworkWeights(13, make_layers())
    tiles = make_input(size=tile_px)
    literal = run_once(build_literal_graph(weights, tile_px).SerializeToString(), tiles)
    feed = np.ascontiguousarray(tiles.transpose(0, 3, 1, 2))
    ours = softmax(run_once(build_graph(weights, tile_px).SerializeToString(), feed))
    assert np.abs(ours.transpose(0, 2, 3, 1) - literal).max() < TOLERANCE


def test_graph_gives_each_tile_of_a_batch_what_it_gets_alone() -> None:
    weights = NetworkWeights(13, make_layers())
    network = build_graph(weights, 288).SerializeToString()
    tile = make_input(size=288).transpose(0, 3, 1, 2)
    batch = np.concatenate([tile, tile[:, :, ::-1], tile[:, :, :, ::-1]])
    together = run_once(network, np.ascontiguousarray(batch))
    for number in range(3):
        alone = run_once(network, np.ascontiguousarray(batch[number : number + 1]))
        assert np.abs(softmax(together)[number] - softmax(alone)[0]).max() < TOLERANCE


@pytest.mark.parametrize("tile_px", [256, 500])
def test_graph_of_impossible_tile_size_raises(tile_px: int) -> None:
    with pytest.raises(ValueError, match=f"at least 288, got {tile_px}"):
        build_graph(NetworkWeights(13, make_layers()), tile_px)


@pytest.mark.parametrize("shift", [-18, -6, 0, 1, 12])
def test_mirrored_equals_symmetric_padding(shift: int) -> None:
    padded = np.pad(np.arange(18), 18, mode="symmetric")
    assert mirrored(18, shift) == padded[18 + shift : 36 + shift].tolist()


def test_upsampled_taps_interpolate_between_half_pixel_centres() -> None:
    centre = upsampled_taps(3)[1]
    fine = centre @ np.array([0.0, 8.0, 16.0], np.float32)
    np.testing.assert_allclose(fine, [0, 0, 1, 3, 5, 7, 9, 11, 13, 15, 16, 16])
