"""Exact sums: equal to plain means and to SciPy's bilinear zoom, and blind to invalid pixels."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import zoom

from kappamask_udf.resampling import (
    area_sums,
    area_weight,
    linear_sums,
    linear_weight,
    upsample_linear,
)


def numbers(rows: int, cols: int) -> NDArray[np.uint16]:
    return np.random.default_rng(1).integers(0, 65535, (rows, cols)).astype(np.uint16)


@pytest.mark.parametrize(
    ("source_m", "target_m"), [(10, 10), (10, 20), (10, 30), (10, 60), (20, 30), (20, 60), (60, 60)]
)
def test_area_sums_equal_mean_of_repeated_pixels(source_m: int, target_m: int) -> None:
    dn = numbers(12, 24)
    repeat, block = source_m // 10, target_m // 10
    fine = dn.astype(float).repeat(repeat, 0).repeat(repeat, 1)
    expected = fine.reshape(fine.shape[0] // block, block, -1, block).mean(axis=(1, 3))
    result = area_sums(dn.astype(np.float32), source_m, target_m) / area_weight(source_m, target_m)
    assert np.array_equal(result, expected.astype(np.float32))


def test_area_sums_partial_cell_raises() -> None:
    with pytest.raises(ValueError, match="multiple of 3"):
        area_sums(np.zeros((4, 3), np.float32), 10, 30)


@pytest.mark.parametrize("f", [2, 3, 6])
def test_upsample_linear_equals_half_pixel_zoom(f: int) -> None:
    dn = numbers(9, 7)
    result, has_value = upsample_linear(np.pad(dn, 1, mode="edge"), f)
    expected = zoom(dn.astype(float), f, order=1, grid_mode=True, mode="nearest")
    assert has_value is None
    assert np.abs(result - expected).max() < 0.01


@pytest.mark.parametrize("f", [2, 3, 6])
def test_linear_sums_of_largest_numbers_are_exact(f: int) -> None:
    assert 65535 * linear_weight(f) < 2**24
    sums = linear_sums(np.full((5, 5), 65535, np.float32), f)
    assert (sums == 65535 * linear_weight(f)).all()


def test_upsample_linear_all_valid_equals_no_mask_bit_for_bit() -> None:
    dn = numbers(8, 8)
    plain, _ = upsample_linear(dn, 6)
    masked, has_value = upsample_linear(dn, 6, np.ones((8, 8), bool))
    assert np.array_equal(plain, masked)
    assert has_value is not None
    assert has_value.all()


def test_upsample_linear_invalid_pixel_does_not_bleed() -> None:
    dn = np.full((5, 5), 1000, np.uint16)
    dn[2, 2] = 0
    result, has_value = upsample_linear(dn, 2, dn > 0)
    assert has_value is not None
    assert has_value.all()
    assert (result == 1000).all()
