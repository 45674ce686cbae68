import warnings
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio

from kappamask_catalog.scene.instrument import BAND_IDS
from kappamask_udf.bands import BANDS, MSI_BANDS
from kappamask_udf.classes import MaskClass
from kappamask_udf.pixels import PixelWindow

from .conftest import Written


def item_of(product: Written) -> pystac.Item:
    from stactools.sentinel2.stac import create_item

    with warnings.catch_warnings():
        # stactools multiplies affine transforms and mends windings, both with a warning
        warnings.simplefilter("ignore")
        return create_item(str(product.safe))


def reflectance_of(product: Written, band: str) -> np.ndarray:
    rows, cols = product.scene.shape_yx
    strip = product.scene.strip(PixelWindow(0, rows, 0, cols), [band])
    rows, cols = product.scene.band_shape_yx(BANDS[band].resolution_m)
    return strip.reflectance[band][:rows, :cols]


def test_stactools_reads_the_product_and_its_assets_are_there(product: Written) -> None:
    item = item_of(product)
    assert item.properties["s2:processing_baseline"] == product.baseline
    assert item.properties["s2:product_type"] == f"S2MSI{product.level[1:]}"
    assert item.properties["grid:code"] == "MGRS-18SVG"
    assert {"blue", "green", "red", "nir", "swir16", "swir22"} <= item.assets.keys()
    assert [href for a in item.assets.values() if not Path(href := a.href).is_file()] == []


def test_stactools_sees_the_angles_that_moved_the_shadows(product: Written) -> None:
    properties = item_of(product).properties
    sun = product.scene.acquisition.sun
    assert properties["view:sun_azimuth"] == pytest.approx(sun.azimuth_deg)
    assert properties["view:sun_elevation"] == pytest.approx(90 - sun.zenith_deg)


def test_stactools_cloud_cover_is_that_of_the_truth(product: Written) -> None:
    with rasterio.open(product.paths.truth) as dataset:
        truth = dataset.read(1)
    valid = truth != MaskClass.MISSING
    cloudy = np.isin(truth, (MaskClass.CLOUD, MaskClass.SEMI_TRANSPARENT_CLOUD))
    cover = 100 * cloudy.sum() / valid.sum()
    assert item_of(product).properties["eo:cloud_cover"] == pytest.approx(cover, abs=1e-4)


def test_images_lie_on_the_grid_of_their_resolution(product: Written) -> None:
    x, y = product.scene.corner_xy
    for path in product.safe.glob("GRANULE/*/IMG_DATA/**/*.jp2"):
        with rasterio.open(path) as dataset:
            resolution = int(dataset.res[0])
            assert dataset.crs.to_epsg() == 32618
            assert dataset.transform[:6] == (resolution, 0, x, 0, -resolution, y), path.name
            assert dataset.shape == product.scene.band_shape_yx(resolution), path.name


def test_images_are_those_that_the_metadata_lists(product: Written) -> None:
    document = product.xml("MTD_MSI*.xml")
    listed = {f"{element.text}.jp2" for element in document.iter("IMAGE_FILE")}
    found = {str(path.relative_to(product.safe)) for path in product.safe.rglob("IMG_DATA/**/*.*")}
    assert found == listed


@pytest.mark.parametrize("band", [info.name for info in MSI_BANDS])
def test_l1c_dn_from_baseline_4_are_reflectance_times_10000_plus_1000(
    new_l1c: Written, band: str
) -> None:
    numbers = new_l1c.image(f"IMG_DATA/*_{band}.jp2")[0]
    expected = np.rint(reflectance_of(new_l1c, band) * 10000) + 1000
    np.testing.assert_array_equal(numbers, np.nan_to_num(expected, nan=0))


@pytest.mark.parametrize("band", [info.name for info in MSI_BANDS])
def test_l1c_dn_before_baseline_4_are_reflectance_times_10000(old_l1c: Written, band: str) -> None:
    numbers = old_l1c.image(f"IMG_DATA/*_{band}.jp2")[0]
    lowest = 0 if band in ("B09", "B10") else 1
    expected = np.maximum(np.rint(reflectance_of(old_l1c, band) * 10000), lowest)
    np.testing.assert_array_equal(numbers, np.nan_to_num(expected, nan=0))


def test_offsets_are_listed_by_band_id_from_baseline_4_only(product: Written) -> None:
    name = "RADIO_ADD_OFFSET" if product.level == "L1C" else "BOA_ADD_OFFSET"
    found = {e.get("band_id"): e.text for e in product.xml("MTD_MSI*.xml").iter(name)}
    assert found == ({str(n): "-1000" for n in range(13)} if product.has_offset else {})


def test_special_values_are_nodata_0_and_saturated_65535(product: Written) -> None:
    document = product.xml("MTD_MSI*.xml")
    texts = [element.text for element in document.iter("SPECIAL_VALUE_TEXT")]
    values = [element.text for element in document.iter("SPECIAL_VALUE_INDEX")]
    assert dict(zip(texts, values, strict=True)) == {"NODATA": "0", "SATURATED": "65535"}


def test_no_data_is_0_in_every_image_and_nowhere_else_at_10_m(product: Written) -> None:
    rows, cols = product.scene.shape_yx
    is_missing = product.scene.missing(PixelWindow(0, rows, 0, cols))
    pattern = "IMG_DATA/*_B04.jp2" if product.level == "L1C" else "IMG_DATA/R10m/*_B04_10m.jp2"
    np.testing.assert_array_equal(product.image(pattern)[0] == 0, is_missing)


def test_l2a_band_at_60_m_is_the_mean_of_its_10_m_pixels(new_l2a: Written) -> None:
    fine = new_l2a.image("IMG_DATA/R10m/*_B02_10m.jp2")[0][:126, :60].astype(float)
    coarse = new_l2a.image("IMG_DATA/R60m/*_B02_60m.jp2")[0][:21, :10]
    means = fine.reshape(21, 6, 10, 6).mean((1, 3))
    # both were rounded to whole DN
    np.testing.assert_allclose(coarse, means, atol=1.01)


def test_l2a_takes_the_path_reflectance_of_blue_away(products: dict, new_l2a: Written) -> None:
    top = products["L1C", "05.11"].image("IMG_DATA/*_B02.jp2")[0].astype(int)
    bottom = new_l2a.image("IMG_DATA/R10m/*_B02_10m.jp2")[0].astype(int)
    is_clear = new_l2a.image("IMG_DATA/R20m/*_SCL_20m.jp2")[0].repeat(2, 0).repeat(2, 1) == 4
    is_clear = is_clear[: top.shape[0], : top.shape[1]]
    assert is_clear.any()
    assert np.median((top - bottom)[is_clear]) > 500


def test_l2a_aot_and_wvp_have_their_own_quantification(new_l2a: Written) -> None:
    document = new_l2a.xml("MTD_MSIL2A.xml")
    aot, wvp = (
        float(document.find(f".//{name}_QUANTIFICATION_VALUE").text) for name in ("AOT", "WVP")
    )
    data = new_l2a.image("IMG_DATA/R10m/*_AOT_10m.jp2")[0][:, :20]
    vapour = new_l2a.image("IMG_DATA/R10m/*_WVP_10m.jp2")[0][30:, :20]
    assert data[30:].mean() / aot == pytest.approx(0.12, abs=0.01)
    assert vapour.mean() / wvp == pytest.approx(2.6, abs=0.1)


def test_l2a_scene_classes_agree_with_the_truth(new_l2a: Written) -> None:
    scl = new_l2a.image("IMG_DATA/R20m/*_SCL_20m.jp2")[0]
    with rasterio.open(new_l2a.paths.truth) as dataset:
        truth = dataset.read(1)[::2, ::2]
    for mask_class, scene_classes in (
        (MaskClass.MISSING, [0]),
        (MaskClass.CLOUD_SHADOW, [3]),
        (MaskClass.CLEAR, [4, 5, 6]),
        (MaskClass.SEMI_TRANSPARENT_CLOUD, [8, 10]),
        (MaskClass.CLOUD, [9]),
    ):
        np.testing.assert_array_equal(np.isin(scl, scene_classes), truth == mask_class)


def test_colour_image_is_byte_and_0_only_without_data(new_l1c: Written) -> None:
    colour = new_l1c.image("IMG_DATA/*_TCI.jp2")
    rows, cols = new_l1c.scene.shape_yx
    is_missing = new_l1c.scene.missing(PixelWindow(0, rows, 0, cols))
    assert colour.dtype == np.uint8
    np.testing.assert_array_equal((colour == 0).all(0), is_missing)
    np.testing.assert_array_equal((colour == 0).any(0), is_missing)


def test_band_ids_follow_the_order_of_the_bands() -> None:
    assert list(BAND_IDS) == [info.name for info in MSI_BANDS]
