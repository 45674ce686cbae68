"""Overviews by mode and average, and the plain files they are made from."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kappamask_catalog.publish.planes import (
    STRIP_ROWS,
    PlaneFile,
    allocated_bytes,
    halve_average,
    halve_mode,
    overview_shapes,
    reduce_plane,
)


def slow_mode(values: np.ndarray) -> np.ndarray:
    """The same by counting; missing neighbours at odd edges are the edge itself."""
    rows, cols = -(-values.shape[0] // 2), -(-values.shape[1] // 2)
    padded = np.pad(
        values, ((0, 2 * rows - values.shape[0]), (0, 2 * cols - values.shape[1])), "edge"
    )
    result = np.empty((rows, cols), values.dtype)
    for row in range(rows):
        for col in range(cols):
            block = padded[2 * row : 2 * row + 2, 2 * col : 2 * col + 2].ravel().tolist()
            counts = Counter(block)
            result[row, col] = max(counts, key=lambda value: (counts[value], value))
    return result


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.integers(0, 5))
)
def test_halve_mode_equals_counting(values: np.ndarray) -> None:
    assert np.array_equal(halve_mode(values), slow_mode(values))


def test_halve_average_odd_edge_is_the_mean_of_what_is_there() -> None:
    values = np.array([[0, 1, 5], [2, 3, 7], [4, 8, 9]], np.float32)
    halved = halve_average(values)
    assert halved.dtype == np.float32
    assert halved.tolist() == [[1.5, 6.0], [6.0, 9.0]]


@pytest.mark.parametrize(
    ("shape_yx", "expected"),
    [
        ((512, 512), []),
        ((513, 20), [(257, 10)]),
        ((10980, 10980), [(5490, 5490), (2745, 2745), (1373, 1373), (687, 687), (344, 344)]),
    ],
)
def test_overview_shapes_end_at_one_block(
    shape_yx: tuple[int, int], expected: list[tuple[int, int]]
) -> None:
    assert overview_shapes(shape_yx, 512) == expected


def test_reduce_plane_strips_equal_the_whole(tmp_path: Path) -> None:
    values = np.random.default_rng(5).integers(0, 6, (2, 2 * STRIP_ROWS + 77, 31), np.uint8)
    shape = values.shape[1:]
    half = (-(-shape[0] // 2), 16)
    with (
        PlaneFile(tmp_path / "a", shape, values.dtype, 2) as source,
        PlaneFile(tmp_path / "b", half, values.dtype, 2) as target,
    ):
        for band in range(2):
            source.write_rows(band, 0, values[band])
        reduce_plane(source, target, "mode", threads=2)
        for band in range(2):
            assert np.array_equal(target.read_rows(band, 0, half[0]), halve_mode(values[band]))


def test_plane_rows_of_zeros_read_as_zeros_and_take_no_space(tmp_path: Path) -> None:
    with PlaneFile(tmp_path / "a", (256, 4096), np.dtype(np.float32), 1) as plane:
        plane.write_rows(0, 0, np.zeros((256, 4096), np.float32))
        assert not plane.read_rows(0, 0, 256).any()
        assert plane.path.stat().st_size == plane.size_bytes
    assert allocated_bytes(tmp_path) < plane.size_bytes / 10
