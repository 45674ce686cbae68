import numpy as np
import pytest
from rasterio.features import rasterize
from shapely.geometry import Polygon

from kappamask_catalog.scene import DemoScene
from kappamask_catalog.scene.footprint import detector_indices, detector_outlines
from kappamask_catalog.scene.raster_masks import QUALITY_LOST, QUALITY_NO_DATA
from kappamask_catalog.scene.rasters import georeference
from kappamask_udf.bands import BANDS, MSI_BANDS
from kappamask_udf.pixels import PixelWindow

from .conftest import Written

GML = "{http://www.opengis.net/gml/3.2}"
EOP = "{http://www.opengis.net/eop/2.0}"


def whole(scene: DemoScene) -> PixelWindow:
    rows, cols = scene.shape_yx
    return PixelWindow(0, rows, 0, cols)


def burned(product: Written, name: str) -> np.ndarray:
    """A vector mask as the 10 m pixels whose centres lie in it."""
    outlines = []
    for element in product.xml(f"GRANULE/*/QI_DATA/{name}.gml").iter(f"{GML}posList"):
        numbers = [float(text) for text in element.text.split()]
        assert element.get("srsDimension") == "3"
        outlines.append(Polygon(list(zip(numbers[::3], numbers[1::3], strict=True))))
    transform = georeference(product.scene.corner_xy, 10)["transform"]
    if not outlines:
        return np.zeros(product.scene.shape_yx, bool)
    return rasterize(outlines, product.scene.shape_yx, transform=transform).astype(bool)


def test_masks_listed_in_tile_metadata_are_those_that_are_there(product: Written) -> None:
    document = product.xml("GRANULE/*/MTD_TL.xml")
    listed = {element.text for element in document.iter("MASK_FILENAME")}
    found = {str(path.relative_to(product.safe)) for path in product.safe.rglob("QI_DATA/MSK_*")}
    assert found == listed
    assert {element.get("type") for element in document.iter("MASK_FILENAME")} >= (
        {"MSK_DETFOO", "MSK_QUALIT"} if product.has_offset else {"MSK_DETFOO", "MSK_TECQUA"}
    )


@pytest.mark.parametrize("band", [info.name for info in MSI_BANDS])
def test_raster_masks_have_the_grid_of_their_band(new_l1c: Written, band: str) -> None:
    shape = new_l1c.scene.band_shape_yx(BANDS[band].resolution_m)
    assert new_l1c.image(f"QI_DATA/MSK_DETFOO_{band}.jp2").shape == (1, *shape)
    assert new_l1c.image(f"QI_DATA/MSK_QUALIT_{band}.jp2").shape == (8, *shape)


def test_raster_footprint_is_0_where_there_is_no_data(new_l1c: Written) -> None:
    detectors = new_l1c.image("QI_DATA/MSK_DETFOO_B02.jp2")[0]
    np.testing.assert_array_equal(detectors == 0, new_l1c.scene.missing(whole(new_l1c.scene)))


def test_raster_quality_marks_lost_packets_and_no_data(new_l1c: Written) -> None:
    flags = new_l1c.image("QI_DATA/MSK_QUALIT_B08.jp2").astype(bool)
    scene = new_l1c.scene
    np.testing.assert_array_equal(flags[QUALITY_LOST], scene.lost_pixels(whole(scene)))
    np.testing.assert_array_equal(flags[QUALITY_NO_DATA], scene.missing(whole(scene)))
    others = [n for n in range(8) if n not in (QUALITY_LOST, QUALITY_NO_DATA)]
    assert not flags[others].any()


def test_quality_band_3_counted_from_1_is_lost_packets() -> None:
    assert QUALITY_LOST + 1 == 3


def test_vector_footprint_covers_the_pixels_with_data(old_l1c: Written) -> None:
    expected = ~old_l1c.scene.missing(whole(old_l1c.scene))
    np.testing.assert_array_equal(burned(old_l1c, "MSK_DETFOO_B04"), expected)


def test_vector_no_data_covers_the_pixels_without(old_l1c: Written) -> None:
    expected = old_l1c.scene.missing(whole(old_l1c.scene))
    np.testing.assert_array_equal(burned(old_l1c, "MSK_NODATA_B04"), expected)


def test_vector_technical_quality_covers_the_lost_pixels(old_l1c: Written) -> None:
    expected = old_l1c.scene.lost_pixels(whole(old_l1c.scene))
    np.testing.assert_array_equal(burned(old_l1c, "MSK_TECQUA_B11"), expected)
    (kind,) = old_l1c.xml("GRANULE/*/QI_DATA/MSK_TECQUA_B11.gml").iter(f"{EOP}maskType")
    assert kind.text == "MSI_LOST"


def test_vector_footprint_names_band_and_detector(old_l1c: Written) -> None:
    document = old_l1c.xml("GRANULE/*/QI_DATA/MSK_DETFOO_B8A.gml")
    names = [feature.get(f"{GML}id") for feature in document.iter(f"{EOP}MaskFeature")]
    detectors = set(np.unique(detector_indices(old_l1c.scene, whole(old_l1c.scene)))) - {0}
    assert names == [
        f"detector_footprint-B8A-{detector:02d}-{number}"
        for number, detector in enumerate(sorted(detectors))
    ]


def test_detector_outlines_of_a_full_tile_agree_with_the_indices() -> None:
    scene = DemoScene(size_px=10980, missing_share=0.3)
    x, y = scene.corner_xy
    window = PixelWindow(5000, 5001, 0, 10980)
    row = detector_indices(scene, window)[0]
    assert len(np.unique(row)) > 3
    strip = georeference((x, y - 10 * window.row0), 10)["transform"]
    for detector, outline in detector_outlines(scene).items():
        covered = rasterize([outline], (1, 10980), transform=strip)[0].astype(bool)
        np.testing.assert_array_equal(covered, row == detector)
