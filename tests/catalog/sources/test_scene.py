"""What the scene writes, this package reads."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from kappamask_catalog.scene import DemoScene, write_product, write_safe_zip
from kappamask_catalog.sources import open_product
from kappamask_udf.classes import MaskClass
from kappamask_udf.pixels import Calibration, Level, PixelWindow

LOST = PixelWindow(60, 90, 30, 150)
BANDS = ("B02", "B8A", "B10")


@pytest.mark.parametrize("size_px", [240, 203])
@pytest.mark.parametrize(
    ("level", "baseline", "offset"),
    [("L1C", "05.11", -1000), ("L1C", "02.04", 0), ("L2A", "05.11", -1000)],
)
def test_open_product_of_the_scene_reads_bands_and_lost_pixels(
    tmp_path: Path, level: Level, baseline: str, offset: int, size_px: int
) -> None:
    scene = DemoScene(size_px=size_px, missing_share=0.2, lost=LOST)
    bands = BANDS[:2] if level == "L2A" else BANDS
    paths = write_product(scene, tmp_path, baseline=baseline, level=level, bands=bands)
    whole = PixelWindow(0, size_px, 0, size_px)
    with rasterio.open(paths.truth) as dataset:
        is_missing = dataset.read(1) == MaskClass.MISSING
    for location in (paths.safe, write_safe_zip(paths.safe)):
        with open_product(str(location)) as product:
            assert (product.level, product.shape_yx) == (level, scene.shape_yx)
            assert product.processing_baseline == baseline
            assert product.calibration("B02") == Calibration(10000, offset)
            assert product.absent_masks == ()
            for band in bands:
                grid = scene.band_shape_yx(product.band_resolution_m(band))
                dn = product.read_dn(band, PixelWindow(0, grid[0], 0, grid[1]))
                assert dn.any()
            lost = product.read_lost(bands, whole)
            is_zero = product.read_dn("B02", whole) == 0
        assert lost is not None
        assert lost[60:90, 30:150].all()
        assert is_zero.any()
        # Footprints at 10, 20 and 60 m and as polygons differ along the swath's slanted edge.
        assert np.mean((lost | is_zero) != is_missing) < 0.03
