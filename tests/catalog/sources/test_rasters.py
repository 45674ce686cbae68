"""Bands are read as they are, in parallel, and never where the file is damaged."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from kappamask_catalog.sources import open_product
from kappamask_catalog.sources.jpeg2000 import check_complete, read_tile_index
from kappamask_udf.errors import CorruptDataError
from kappamask_udf.pixels import PixelWindow
from tests.catalog.sources.safes import EPSG, LEFT, TOP, SafeSpec, band_dn, write_jp2

MakeSafe = Callable[..., Path]


def band_path(safe: Path, band: str = "B02") -> Path:
    return next(safe.glob(f"GRANULE/*/IMG_DATA/*_{band}.jp2"))


def cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@pytest.mark.parametrize("has_manifest", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.95, 0.9999])
@pytest.mark.parametrize("block_px", [64, 256])
def test_read_dn_truncated_file_is_an_error_even_before_the_cut(
    make_safe: MakeSafe, share: float, has_manifest: bool, block_px: int
) -> None:
    safe = make_safe(has_manifest=has_manifest, bands=("B02",), block_px=block_px)
    cut(band_path(safe), share)
    with (
        open_product(str(safe)) as product,
        pytest.raises(CorruptDataError, match=r"_B02\.jp2") as caught,
    ):
        product.read_dn("B02", PixelWindow(0, 1, 0, 1))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_read_dn_truncated_without_checksum_names_file_and_bytes(
    make_safe: MakeSafe, share: float
) -> None:
    safe = make_safe(has_manifest=False, bands=("B02",))
    cut(band_path(safe), share)
    with (
        open_product(str(safe)) as product,
        pytest.raises(CorruptDataError, match=r"truncated or corrupt \(it "),
    ):
        product.read_dn("B02", PixelWindow(0, 1, 0, 1))


@pytest.mark.parametrize("algorithm", ["MD5", "SHA3-256"])
def test_read_dn_noise_in_the_middle_is_found_by_the_checksum(
    make_safe: MakeSafe, algorithm: str
) -> None:
    safe = make_safe(checksum=algorithm)
    path = band_path(safe)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    path.write_bytes(data)
    with (
        open_product(str(safe)) as product,
        pytest.raises(CorruptDataError, match=f"its {algorithm} is not the one in manifest"),
    ):
        product.read_dn("B02", PixelWindow(0, 1, 0, 1))


def test_read_dn_checksum_is_not_asked_for_on_request(make_safe: MakeSafe) -> None:
    safe = make_safe()
    replaced = band_dn("B02", 10, SafeSpec())[::-1]
    write_jp2(band_path(safe), replaced, 10)
    with open_product(str(safe), verify=False) as product:
        pixels = product.read_dn("B02", PixelWindow(0, 120, 0, 180))
    assert np.array_equal(pixels, replaced)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95, 0.9999])
def test_read_dn_tile_that_cannot_be_decoded_names_file_band_and_window(
    make_safe: MakeSafe, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    safe = make_safe(has_manifest=False)
    cut(band_path(safe), share)
    # Without the look at the structure OpenJPEG must refuse the tile, not fill it up.
    monkeypatch.setattr("kappamask_catalog.sources.rasters.check_complete", lambda path: None)
    with (
        open_product(str(safe)) as product,
        pytest.raises(
            CorruptDataError, match=r"_B02\.jp2 \(band B02\) cannot be decoded at rows 0\.\.120"
        ),
    ):
        product.read_dn("B02", PixelWindow(0, 120, 0, 180))


def test_read_dn_other_size_than_the_metadata_is_an_error(make_safe: MakeSafe) -> None:
    safe = make_safe(has_manifest=False)
    write_jp2(band_path(safe), band_dn("B02", 10, SafeSpec(shape_yx=(60, 180))), 10)
    with (
        open_product(str(safe)) as product,
        pytest.raises(CorruptDataError, match=r"has 60 x 180 pixels, the product has 120 x 180"),
    ):
        product.read_dn("B02", PixelWindow(0, 1, 0, 1))


@pytest.mark.parametrize(
    ("epsg", "left", "metres"), [(EPSG + 1, LEFT, 10), (EPSG, LEFT + 10, 10), (EPSG, LEFT, 20)]
)
def test_read_dn_other_place_than_the_metadata_is_an_error(
    make_safe: MakeSafe, epsg: int, left: int, metres: int
) -> None:
    safe = make_safe(has_manifest=False)
    with rasterio.open(
        band_path(safe), "w", driver="JP2OpenJPEG", height=120, width=180, count=1,
        dtype="uint16", crs=f"EPSG:{epsg}", transform=Affine(metres, 0, left, 0, -metres, TOP),
    ) as dataset:  # fmt: skip
        dataset.write(band_dn("B02", 10, SafeSpec()), 1)
    with (
        open_product(str(safe)) as product,
        pytest.raises(CorruptDataError, match="lies at"),
    ):
        product.read_dn("B02", PixelWindow(0, 1, 0, 1))


def test_read_dn_other_type_is_an_error(make_safe: MakeSafe) -> None:
    safe = make_safe(has_manifest=False)
    write_jp2(band_path(safe), np.ones((120, 180), np.uint8), 10)
    with (
        open_product(str(safe)) as product,
        pytest.raises(CorruptDataError, match="has uint8 pixels"),
    ):
        product.read_dn("B02", PixelWindow(0, 1, 0, 1))


def test_read_dn_disguised_virtual_raster_is_not_followed(
    make_safe: MakeSafe, tmp_path: Path
) -> None:
    safe = make_safe(has_manifest=False)
    other = tmp_path / "secret.jp2"
    write_jp2(other, band_dn("B02", 10, SafeSpec()), 10)
    band_path(safe).write_text(
        f'<VRTDataset rasterXSize="180" rasterYSize="120"><VRTRasterBand dataType="UInt16" '
        f'band="1"><SimpleSource><SourceFilename>{other}</SourceFilename></SimpleSource>'
        "</VRTRasterBand></VRTDataset>"
    )
    with (
        open_product(str(safe)) as product,
        pytest.raises(CorruptDataError, match="cannot be opened"),
    ):
        product.read_dn("B02", PixelWindow(0, 1, 0, 1))


@pytest.mark.parametrize("window", [(-1, 4, 0, 4), (0, 121, 0, 4), (0, 4, 0, 181)])
def test_read_dn_window_beyond_the_grid_is_refused(
    l1c_safe: Path, window: tuple[int, int, int, int]
) -> None:
    with (
        open_product(str(l1c_safe)) as product,
        pytest.raises(ValueError, match="leaves the 120 x 180 grid"),
    ):
        product.read_dn("B02", PixelWindow(*window))


def test_read_dn_from_several_threads_gives_the_same(l1c_safe: Path) -> None:
    windows = [PixelWindow(0, 10, 0, 30), PixelWindow(10, 20, 0, 30), PixelWindow(7, 19, 3, 22)]
    with open_product(str(l1c_safe)) as product:
        tasks = [(band, window) for window in windows * 20 for band in product.bands]
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda task: product.read_dn(*task), tasks))
        for (band, window), pixels in zip(tasks, results, strict=True):
            whole = band_dn(band, product.band_resolution_m(band), SafeSpec())
            expected = whole[window.row0 : window.row1, window.col0 : window.col1]
            assert np.array_equal(pixels, expected)


@pytest.mark.parametrize(("block_px", "rows"), [(64, 512), (192, 576), (256, 256), (1024, 600)])
def test_block_rows_low_blocks_are_taken_together(
    make_safe: MakeSafe, block_px: int, rows: int
) -> None:
    spec = {"shape_yx": (600, 60), "bands": ("B02",), "has_masks": False}
    with open_product(str(make_safe(**spec, block_px=block_px))) as product:
        assert product.block_rows("B02") == rows


def test_check_complete_whole_files_pass(l1c_safe: Path) -> None:
    for path in l1c_safe.rglob("*.jp2"):
        check_complete(path)


@pytest.mark.parametrize("options", [{"TILEPARTS": "RESOLUTIONS"}, {"PLT": "YES", "TLM": "YES"}])
def test_check_complete_other_layouts_pass_and_their_cuts_do_not(
    tmp_path: Path, options: dict[str, str]
) -> None:
    path = tmp_path / "band.jp2"
    write_jp2(path, band_dn("B02", 10, SafeSpec()), 10, **options)
    check_complete(path)
    cut(path, 0.9)
    with pytest.raises(CorruptDataError, match="truncated"):
        check_complete(path)


def test_check_complete_missing_tile_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "band.jp2"
    write_jp2(path, band_dn("B02", 10, SafeSpec()), 10)
    data = bytearray(path.read_bytes())
    second = data.index(b"\xff\x90\x00\x0a\x00\x01")
    data[second + 5] = 0
    path.write_bytes(data)
    with pytest.raises(CorruptDataError, match="tile 1 of 6 is missing"):
        check_complete(path)


def test_read_tile_index_equal_tiles_have_equal_keys(tmp_path: Path) -> None:
    path = tmp_path / "mask.jp2"
    mask = np.zeros((1, 128, 192), np.uint8)
    mask[0, 70, 100] = 1
    write_jp2(path, mask, 10)
    index = read_tile_index(path)
    assert index is not None
    assert (index.shape_yx, index.tile_shape_yx) == ((128, 192), (64, 64))
    assert len({index.keys[number] for number in (0, 1, 2, 3, 5)}) == 1
    assert index.keys[4] != index.keys[0]


def test_read_tile_index_part_tiles_differ_from_whole_ones(tmp_path: Path) -> None:
    path = tmp_path / "mask.jp2"
    write_jp2(path, np.zeros((1, 64, 100), np.uint8), 10)
    index = read_tile_index(path)
    assert index is not None
    assert index.keys[0] != index.keys[1]
