from datetime import timedelta

import numpy as np
import pytest

from kappamask_catalog.scene import DEMO_DATES, DemoScene
from kappamask_catalog.scene.geometry import SURFACE_CORNER_XY, TILE_CORNER_XY
from kappamask_udf.bands import BANDS
from kappamask_udf.classes import MaskClass
from kappamask_udf.errors import ProductError
from kappamask_udf.pixels import PixelWindow

BANDS_OF_EACH_GRID = ("B04", "B11", "B10")


def cut(window: PixelWindow, part: PixelWindow, resolution_m: int) -> tuple[slice, slice]:
    factor = resolution_m // 10
    return (
        slice((part.row0 - window.row0) // factor, (part.row1 - window.row0) // factor),
        slice((part.col0 - window.col0) // factor, (part.col1 - window.col0) // factor),
    )


@pytest.mark.parametrize("threads", [1, 3])
def test_strips_joined_equal_the_whole_bit_for_bit(threads: int) -> None:
    scene = DemoScene(size_px=150, missing_share=0.2)
    whole = scene.strip(PixelWindow(0, 150, 0, 150), BANDS_OF_EACH_GRID)
    strips = list(scene.strips(36, BANDS_OF_EACH_GRID, threads))
    np.testing.assert_array_equal(np.vstack([strip.truth for strip in strips]), whole.truth)
    for band in BANDS_OF_EACH_GRID:
        joined = np.vstack([strip.reflectance[band] for strip in strips])
        np.testing.assert_array_equal(joined, whole.reflectance[band])


def test_strip_of_any_window_equals_the_crop_of_the_whole() -> None:
    scene = DemoScene(size_px=150, date=DEMO_DATES[4])
    whole = scene.strip(PixelWindow(0, 150, 0, 150), BANDS_OF_EACH_GRID)
    part = scene.strip(PixelWindow(61, 95, 40, 120), BANDS_OF_EACH_GRID)
    for band in BANDS_OF_EACH_GRID:
        rows, cols = cut(whole.window, part.window, BANDS[band].resolution_m)
        np.testing.assert_array_equal(part.reflectance[band], whole.reflectance[band][rows, cols])


def test_scene_made_twice_is_identical() -> None:
    first, second = (
        DemoScene(size_px=60, seed=7).strip(PixelWindow(0, 60, 0, 60)) for _ in range(2)
    )
    for band, plane in first.reflectance.items():
        np.testing.assert_array_equal(plane, second.reflectance[band])


def test_scene_larger_than_the_surface_keeps_every_pixel_on_its_ground() -> None:
    small, large = DemoScene(size_px=60), DemoScene(size_px=10980)
    row, col = large.corner_px
    inside = large.strip(PixelWindow(-row, 60 - row, -col, 60 - col), BANDS_OF_EACH_GRID)
    alone = small.strip(PixelWindow(0, 60, 0, 60), BANDS_OF_EACH_GRID)
    for band in BANDS_OF_EACH_GRID:
        np.testing.assert_array_equal(inside.reflectance[band], alone.reflectance[band])


@pytest.mark.parametrize(
    ("size_px", "rows_px", "corner"),
    [
        (1020, None, SURFACE_CORNER_XY),
        (7398, None, SURFACE_CORNER_XY),
        (7399, None, TILE_CORNER_XY),
        (10980, 2745, TILE_CORNER_XY),
    ],
)
def test_corner_keeps_the_scene_inside_its_tile(
    size_px: int, rows_px: int | None, corner: tuple[int, int]
) -> None:
    scene = DemoScene(size_px=size_px, rows_px=rows_px)
    (x, y), (rows, cols) = scene.corner_xy, scene.shape_yx
    assert (x, y) == corner
    assert x + 10 * cols <= TILE_CORNER_XY[0] + 109800
    assert y - 10 * rows >= TILE_CORNER_XY[1] - 109800


@pytest.mark.parametrize(("size_px", "shapes"), [(1, (1, 1)), (500, (250, 84)), (1021, (511, 171))])
def test_band_shape_size_off_the_60_m_grid_is_rounded_up(
    size_px: int, shapes: tuple[int, int]
) -> None:
    scene = DemoScene(size_px=size_px)
    assert (scene.band_shape_yx(20)[0], scene.band_shape_yx(60)[1]) == shapes


def test_demo_dates_have_one_nearly_clear_and_one_heavily_clouded() -> None:
    covers = []
    for day in DEMO_DATES:
        truth = DemoScene(date=day).strip(PixelWindow(0, 1020, 0, 1020), ()).truth
        covers.append(np.isin(truth, (MaskClass.SEMI_TRANSPARENT_CLOUD, MaskClass.CLOUD)).mean())
    assert 0.25 <= covers[0] <= 0.45
    assert min(covers) < 0.05
    assert max(covers) > 0.6


def test_dates_differ_in_gain_by_three_per_cent_at_most() -> None:
    days = [DEMO_DATES[0] + timedelta(days=number) for number in range(40)]
    gains = [DemoScene(date=day).gain("B04") for day in days]
    assert max(gains) - min(gains) > 0.03
    assert max(abs(gain - 1) for gain in gains) <= 0.035 + 1e-9


def test_dates_differ_in_noise() -> None:
    # a window that is clear on both dates leaves gain and noise
    window = PixelWindow(0, 1020, 0, 1020)
    first, second = (
        DemoScene(date=day).strip(window, ("B04",)) for day in (DEMO_DATES[2], DEMO_DATES[4])
    )
    is_clear = (first.truth == MaskClass.CLEAR) & (second.truth == MaskClass.CLEAR)
    ratio = first.reflectance["B04"][is_clear] / second.reflectance["B04"][is_clear]
    # two noises of 0.0008 on a surface of about 0.08
    assert 0.005 < np.percentile(np.abs(ratio / np.median(ratio) - 1), 68) < 0.05


def test_missing_share_takes_that_part_of_the_middle_row_in_all_bands() -> None:
    scene = DemoScene(size_px=240, missing_share=0.25)
    strip = scene.strip(PixelWindow(0, 240, 0, 240), BANDS_OF_EACH_GRID)
    is_missing = strip.truth == MaskClass.MISSING
    assert is_missing[120].mean() == pytest.approx(0.25, abs=0.01)
    # the edge leans: the swath ends farther east in the north
    assert is_missing[0].sum() < is_missing[239].sum()
    np.testing.assert_array_equal(np.isnan(strip.reflectance["B04"]), is_missing)


def test_lost_pixels_are_missing_in_truth_but_have_values() -> None:
    scene = DemoScene(size_px=60, lost=PixelWindow(10, 12, 0, 60))
    strip = scene.strip(PixelWindow(0, 60, 0, 60), ("B04",))
    assert (strip.truth[10:12] == MaskClass.MISSING).all()
    assert not (strip.truth[12:] == MaskClass.MISSING).any()
    assert np.isfinite(strip.reflectance["B04"]).all()


@pytest.mark.parametrize("size_px", [0, 10981])
def test_scene_size_out_of_range_is_refused(size_px: int) -> None:
    with pytest.raises(ProductError, match="1 to 10980"):
        DemoScene(size_px=size_px)
