"""A product as a cube: offset applied, one grid, the same whatever the chunks."""

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kappamask_catalog.sources import open_cube, open_product
from kappamask_catalog.sources.cube import read_values
from kappamask_udf.errors import MissingBandError, MissingExtraError
from kappamask_udf.pixels import PixelWindow
from tests.catalog.sources.safes import EPSG, LEFT, TOP, SafeSpec, band_dn, write_jp2

MakeSafe = Callable[..., Path]


def test_open_cube_values_are_dn_with_the_offset_applied(l1c_safe: Path) -> None:
    with open_product(str(l1c_safe)) as product:
        cube = open_cube(product, ["B02"]).compute()
    expected = band_dn("B02", 10, SafeSpec()).astype(np.float32) - 1000
    is_valid = np.ones((120, 180), np.bool_)
    is_valid[:, :12] = False
    is_valid[30:40] = False
    assert cube.dtype == np.float32
    assert np.array_equal(cube.values[0, 0][is_valid], expected[is_valid])
    assert np.isnan(cube.values[0, 0][~is_valid]).all()


def test_open_cube_has_coordinates_and_attributes(l1c_safe: Path) -> None:
    with open_product(str(l1c_safe)) as product:
        cube = open_cube(product)
    assert cube.dims == ("t", "bands", "y", "x")
    assert cube.shape == (1, 3, 120, 180)
    assert list(cube.bands.values) == ["B02", "B8A", "B10"]
    assert cube.t.values[0] == np.datetime64("2023-06-01T10:16:01.024", "ns")
    assert (cube.x.values[0], cube.x.values[-1]) == (LEFT + 5, LEFT + 1795)
    assert (cube.y.values[0], cube.y.values[-1]) == (TOP - 5, TOP - 1195)
    assert cube.attrs["crs"] == f"EPSG:{EPSG}"
    assert cube.attrs["transform"] == (10, 0, LEFT, 0, -10, TOP)
    assert cube.attrs["level"] == "L1C"


def test_open_cube_is_lazy(l1c_safe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_product(str(l1c_safe)) as product:
        monkeypatch.setattr(type(product), "read_dn", lambda *args: pytest.fail("read at once"))
        assert open_cube(product).chunks is not None


def test_open_cube_does_not_depend_on_the_chunks(l1c_safe: Path) -> None:
    with open_product(str(l1c_safe)) as product:
        whole = open_cube(product).compute()
        small = open_cube(product, chunk_px=17)
        assert small.chunks is not None
        assert small.chunks[2][:2] == (18, 18)
        assert np.array_equal(small.compute().values, whole.values, equal_nan=True)


def test_read_values_any_window_equals_the_crop(l1c_safe: Path) -> None:
    with open_product(str(l1c_safe)) as product:
        for band in product.bands:
            whole = read_values(product, band, PixelWindow(0, 120, 0, 180))
            part = read_values(product, band, PixelWindow(7, 33, 11, 95))
            assert np.array_equal(part, whole[7:33, 11:95], equal_nan=True)


def test_read_values_coarse_band_is_interpolated_between_pixel_centres(make_safe: MakeSafe) -> None:
    safe = make_safe(bands=("B8A",), has_masks=False, has_manifest=False)
    ramp = np.add.outer(np.arange(60) * 40, np.arange(90) * 8).astype(np.uint16) + 2000
    write_jp2(next(safe.glob("GRANULE/*/IMG_DATA/*_B8A.jp2")), ramp, 20)
    with open_product(str(safe)) as product:
        values = read_values(product, "B8A", PixelWindow(0, 120, 0, 180))
    inner = np.add.outer(np.arange(118) * 20, np.arange(178) * 4) + 2000 - 1000 + 30 / 3 + 2
    assert np.array_equal(values[1:-1, 1:-1], inner.astype(np.float32))


def test_read_values_dn_zero_is_missing_and_spreads_to_no_neighbour(make_safe: MakeSafe) -> None:
    safe = make_safe(bands=("B8A",), has_masks=False, has_manifest=False)
    dn = np.full((60, 90), 3000, np.uint16)
    dn[10, 20] = 0
    write_jp2(next(safe.glob("GRANULE/*/IMG_DATA/*_B8A.jp2")), dn, 20)
    with open_product(str(safe)) as product:
        values = read_values(product, "B8A", PixelWindow(0, 120, 0, 180))
    is_missing = np.isnan(values)
    assert is_missing[20:22, 40:42].all()
    assert is_missing.sum() == 4
    assert (values[~is_missing] == 2000).all()


def test_read_values_dn_zero_of_the_cirrus_band_is_a_value(make_safe: MakeSafe) -> None:
    safe = make_safe(bands=("B10",), has_masks=False, has_manifest=False)
    write_jp2(next(safe.glob("GRANULE/*/IMG_DATA/*_B10.jp2")), np.zeros((20, 30), np.uint16), 60)
    with open_product(str(safe)) as product:
        assert (read_values(product, "B10", PixelWindow(0, 120, 0, 180)) == -1000).all()


def test_read_values_other_quantification_is_brought_to_10000(make_safe: MakeSafe) -> None:
    safe = make_safe(bands=("B02",), has_masks=False, quantification=20000)
    with open_product(str(safe)) as product:
        values = read_values(product, "B02", PixelWindow(0, 1, 0, 1))
    assert values[0, 0] == (np.float32(band_dn("B02", 10, SafeSpec())[0, 0]) - 1000) / 2


def test_read_values_layer_is_physical(l2a_safe: Path) -> None:
    with open_product(str(l2a_safe)) as product:
        values = read_values(product, "AOT", PixelWindow(50, 51, 50, 51))
    expected = band_dn("AOT", 10, SafeSpec(level="L2A"))[50, 50] / 1000
    assert values[0, 0] == pytest.approx(expected, rel=1e-6)


def test_open_cube_unknown_band_is_an_error(l1c_safe: Path) -> None:
    with open_product(str(l1c_safe)) as product, pytest.raises(MissingBandError, match="B05"):
        open_cube(product, ["B05"])


def test_open_cube_without_dask_names_the_extra(
    l1c_safe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_import = builtins.__import__

    def refuse(name: str, *args: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "dask":
            raise ImportError(name)
        return real_import(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with (
        open_product(str(l1c_safe)) as product,
        pytest.raises(MissingExtraError, match=r"openeo-kappamask\[cube\]"),
    ):
        open_cube(product)
