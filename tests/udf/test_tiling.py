"""Tiles along one axis: they cover it, their shares add up, what is beyond is mirrored."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kappamask_udf.models import Tiling
from kappamask_udf.tiling import TileAxis

KAPPAMASK = Tiling(512, 480, 0, "crop", crop_px=16)
UKIS = Tiling(256, 204, -51, "blend", tukey_alpha=0.4)


@st.composite
def tilings(draw: st.DrawFn) -> Tiling:
    tile = draw(st.integers(4, 40))
    if draw(st.booleans()):
        stride = draw(st.integers(1, tile - 2))
        return Tiling(tile, stride, -draw(st.integers(1, tile - 2)), "blend", tukey_alpha=0.5)
    overlap = draw(st.integers(0, tile - 1))
    crop = draw(st.integers(0, overlap // 2))
    return Tiling(tile, tile - overlap, 0, "crop", crop_px=crop)


@given(tiling=tilings(), size=st.integers(1, 200))
def test_weights_of_all_tiles_add_up_to_one_in_every_cell(tiling: Tiling, size: int) -> None:
    axis = TileAxis(size, tiling)
    total = np.zeros(size)
    for index in range(axis.count):
        cells = np.arange(tiling.tile_px) + axis.start(index)
        is_inside = (cells >= 0) & (cells < size)
        total[cells[is_inside]] += axis.weights(index)[is_inside]
    assert np.abs(total - 1).max() < 1e-6


@given(tiling=tilings(), size=st.integers(1, 200), data=st.data())
def test_tiles_touching_are_those_with_weight(
    tiling: Tiling, size: int, data: st.DataObject
) -> None:
    axis = TileAxis(size, tiling)
    lo = data.draw(st.integers(0, size - 1))
    hi = data.draw(st.integers(lo + 1, size))
    needed = []
    for index in range(axis.count):
        cells = np.arange(tiling.tile_px) + axis.start(index)
        if (axis.weights(index)[(cells >= lo) & (cells < hi)] > 0).any():
            needed.append(index)
    assert list(axis.tiles_touching(lo, hi)) == needed


@given(tiling=tilings(), size=st.integers(1, 200), data=st.data())
def test_cells_equal_symmetric_padding(tiling: Tiling, size: int, data: st.DataObject) -> None:
    axis = TileAxis(size, tiling)
    index = data.draw(st.integers(0, axis.count - 1))
    before, after = tiling.tile_px, tiling.tile_px * (axis.count + 2)
    padded = np.pad(np.arange(size), (before, after), mode="symmetric")
    start = axis.start(index) + before
    assert np.array_equal(axis.cells(index), padded[start : start + tiling.tile_px])


@pytest.mark.parametrize(
    ("tiling", "size", "count"),
    [(UKIS, 3660, 19), (KAPPAMASK, 10980, 23), (KAPPAMASK, 512, 1), (KAPPAMASK, 513, 2)],
)
def test_count_is_that_of_the_original(tiling: Tiling, size: int, count: int) -> None:
    assert TileAxis(size, tiling).count == count


def test_support_of_cropped_tiles_is_that_of_km_predict() -> None:
    """Inner sides lose 16 px, the outer ones of the product none."""
    axis = TileAxis(10980, KAPPAMASK)
    assert axis.support(0) == (0, 496)
    assert axis.support(1) == (496, 976)
    assert axis.support(22) == (10576, 10980)
