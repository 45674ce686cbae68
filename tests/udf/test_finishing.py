"""Dilation and coarser grids, in one piece and as strips."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kappamask_udf.finishing import (
    coarsen_strips,
    crop_strips,
    dilate,
    dilate_strips,
    mean_of_blocks,
    mode_of_blocks,
)
from kappamask_udf.pixels import PixelWindow
from kappamask_udf.stitching import MaskStrip


def random_classes(rows: int, cols: int, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.choice(
        [0, 1, 2, 3, 4, 5], (rows, cols), p=[0.02, 0.9, 0.02, 0.02, 0.02, 0.02]
    ).astype(np.uint8)


def as_strips(classes: NDArray[np.uint8], heights: list[int]) -> list[MaskStrip]:
    planes = np.stack([classes == value for value in range(6)]).astype(np.float32)
    strips, row = [], 0
    for height in [*heights, len(classes)]:
        if row < len(classes):
            rows = slice(row, row + height)
            strips.append(MaskStrip(row, classes[rows], planes[:, rows]))
        row += height
    return strips


def dilated_by_definition(classes: NDArray[np.uint8], dilation_m: float) -> NDArray[np.uint8]:
    result = classes.copy()
    rows, cols = np.indices(classes.shape)
    for value in (2, 3, 4):
        for row, col in np.argwhere(classes == value):
            is_near = (rows - row) ** 2 + (cols - col) ** 2 <= (dilation_m / 10) ** 2
            result[is_near & ~np.isin(classes, (0, 5)) & (result < value)] = value
    return result


@pytest.mark.parametrize("dilation_m", [5, 10, 14, 15, 37.5, 60, 500])
def test_dilate_equals_definition(dilation_m: float) -> None:
    classes = random_classes(30, 41)
    assert np.array_equal(dilate(classes, dilation_m), dilated_by_definition(classes, dilation_m))


def test_dilate_keeps_missing_and_undefined() -> None:
    classes = random_classes(40, 40)
    grown = dilate(classes, 100)
    is_kept = np.isin(classes, (0, 5))
    assert np.array_equal(grown[is_kept], classes[is_kept])
    assert (grown[~is_kept] >= classes[~is_kept]).all()


@given(
    heights=st.lists(st.integers(1, 20), min_size=1, max_size=12),
    dilation_m=st.sampled_from([0, 10, 35, 60, 400]),
)
def test_dilate_strips_equals_dilation_in_one_piece(heights: list[int], dilation_m: int) -> None:
    classes = random_classes(60, 31, seed=3)
    strips = list(dilate_strips(as_strips(classes, heights), dilation_m, 60))
    joined = np.concatenate([strip.classes for strip in strips])
    assert [strip.row0 for strip in strips] == [s.row0 for s in as_strips(classes, heights)]
    assert np.array_equal(joined, dilate(classes, dilation_m))


@given(
    heights=st.lists(st.integers(1, 20), min_size=1, max_size=12),
    factor=st.sampled_from([1, 2, 6]),
    rows=st.integers(1, 61),
)
def test_coarsen_strips_equals_mode_in_one_piece(
    heights: list[int], factor: int, rows: int
) -> None:
    classes = random_classes(rows, 35, seed=5)
    strips = list(coarsen_strips(as_strips(classes, heights), factor, rows))
    joined = np.concatenate([strip.classes for strip in strips])
    planes = np.concatenate(
        [s.probabilities for s in strips if s.probabilities is not None], axis=1
    )
    whole = np.stack([classes == value for value in range(6)]).astype(np.float32)
    assert np.array_equal(joined, mode_of_blocks(classes, factor) if factor > 1 else classes)
    assert np.allclose(planes, mean_of_blocks(whole, factor), atol=1e-6)
    assert [s.row0 for s in strips] == list(np.cumsum([0, *[len(s.classes) for s in strips]])[:-1])


@pytest.mark.parametrize(
    ("block", "mode"),
    [
        ([[1, 1], [1, 4]], 1),
        ([[1, 1], [4, 4]], 4),
        ([[2, 3], [4, 1]], 4),
        ([[2, 2], [1, 1]], 2),
        ([[5, 5], [1, 1]], 1),
        ([[0, 0], [5, 5]], 5),
    ],
)
def test_mode_of_blocks_tie_goes_to_the_class_that_hides_more(
    block: list[list[int]], mode: int
) -> None:
    assert mode_of_blocks(np.array(block, np.uint8), 2).tolist() == [[mode]]


def test_mode_of_blocks_partial_block_counts_what_is_there() -> None:
    classes = np.array([[4, 4, 1], [1, 4, 1], [1, 1, 2]], np.uint8)
    assert mode_of_blocks(classes, 2).tolist() == [[4, 1], [1, 2]]


def test_crop_strips_keeps_rows_and_columns_of_the_window() -> None:
    classes = random_classes(20, 10)
    strips = list(crop_strips(as_strips(classes, [3, 4, 5]), PixelWindow(4, 15, 2, 9)))
    assert strips[0].row0 == 4
    assert np.array_equal(np.concatenate([s.classes for s in strips]), classes[4:15, 2:9])
