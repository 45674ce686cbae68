"""Items of products as catalogs write them, and records of masks made from them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from shapely.geometry import mapping

from kappamask_catalog.publish.cog import CogWriter, build_mask_profile, build_probability_profile
from kappamask_catalog.publish.item import MaskRecord
from kappamask_catalog.publish.previews import THUMBNAIL_PX, write_preview
from kappamask_udf.classes import MaskClass
from kappamask_udf.models import load_registry

EPSG = 32633
TRANSFORM = Affine(10, 0, 399960, 0, -10, 5000040)
SHAPE_YX = (120, 90)
COUNTS = {
    MaskClass.UNDEFINED: 800,
    MaskClass.CLEAR: 5000,
    MaskClass.CLOUD_SHADOW: 1000,
    MaskClass.SEMI_TRANSPARENT_CLOUD: 500,
    MaskClass.CLOUD: 1500,
    MaskClass.MISSING: 2000,
}

STACTOOLS = {
    "platform": "sentinel-2a",
    "constellation": "sentinel-2",
    "instruments": ["msi"],
    "eo:cloud_cover": 33.5,
    "sat:orbit_state": "descending",
    "sat:relative_orbit": 79,
    "mgrs:utm_zone": 33,
    "mgrs:latitude_band": "T",
    "mgrs:grid_square": "VL",
    "grid:code": "MGRS-33TVL",
    "view:azimuth": 104.5,
    "view:incidence_angle": 5.25,
    "view:sun_azimuth": 165.2,
    "view:sun_elevation": 44.1,
    "s2:product_uri": "S2A_MSIL1C_20240310T100021_N0510_R122_T33TVL_20240310T120000.SAFE",
    "s2:processing_baseline": "05.10",
    "s2:product_type": "S2MSI1C",
    "s2:mgrs_tile": "33TVL",
    "proj:centroid": {"lat": 45.1, "lon": 13.8},
}
# Earth Search: fields that no extension knows, the sun under its deprecated names only.
EARTH_SEARCH = {
    "platform": "sentinel-2b",
    "constellation": "sentinel-2",
    "eo:cloud_cover": 12,
    "mgrs:utm_zone": 33,
    "mgrs:latitude_band": "T",
    "mgrs:grid_square": "VL",
    "s2:sequence": "0",
    "s2:mean_solar_azimuth": 190.5,
    "s2:mean_solar_zenith": 40.0,
    "s2:processing_baseline": "05.09",
    "earthsearch:boa_offset_applied": True,
}
# Copernicus Data Space: the tile by its grid code only, angles that are not there as nulls.
DATA_SPACE = {
    "platform": "sentinel-2c",
    "constellation": "sentinel-2",
    "instruments": ["msi"],
    "grid:code": "MGRS-33TVL",
    "view:sun_azimuth": 170.1,
    "view:sun_elevation": 50.2,
    "view:azimuth": None,
    "view:incidence_angle": float("nan"),
    "eopf:datastrip_id": "x",
}


def outline(epsg: int, transform: Affine, shape_yx: tuple[int, int]) -> shapely.Polygon:
    """A raster's corners in WGS 84."""
    corners = [(0, 0), (0, shape_yx[0]), (shape_yx[1], shape_yx[0]), (shape_yx[1], 0)]
    project = Transformer.from_crs(epsg, 4326, always_xy=True).transform
    return shapely.Polygon([project(*(transform @ corner)) for corner in corners])


def product_item(
    properties: dict[str, Any], geometry: shapely.Geometry | None = None
) -> pystac.Item:
    """An item of a product that is twice as large as the mask."""
    footprint = geometry or outline(EPSG, TRANSFORM, (240, 180))
    return pystac.Item(
        id="S2A_T33TVL_20240310T100021_L1C",
        geometry=mapping(footprint),
        bbox=list(footprint.bounds),
        datetime=datetime(2024, 3, 10, 10, 0, 21, tzinfo=UTC),
        properties=dict(properties),
    )


@pytest.fixture(scope="session")
def result_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Mask, probabilities and thumbnail of 120 x 90 px."""
    folder = tmp_path_factory.mktemp("files")
    classes = np.random.default_rng(3).integers(0, 6, SHAPE_YX, np.uint8)
    planes = np.random.default_rng(4).random((6, *SHAPE_YX), np.float32)
    mask, probabilities = folder / "mask.tif", folder / "probabilities.tif"
    for path, profile, pixels in (
        (mask, build_mask_profile(SHAPE_YX, TRANSFORM, EPSG), classes),
        (probabilities, build_probability_profile(SHAPE_YX, TRANSFORM, EPSG), planes),
    ):
        with CogWriter(path, profile) as writer:
            writer.write(0, pixels)
            writer.finish()
    write_preview(mask, folder / "thumbnail.png", THUMBNAIL_PX)
    return {"mask": mask, "probabilities": probabilities, "thumbnail": folder / "thumbnail.png"}


@pytest.fixture
def make_record(result_files: dict[str, Path]) -> Callable[..., MaskRecord]:
    """A record of the mask of half a product, with fields of one's own."""
    base = MaskRecord(
        source=product_item(STACTOOLS),
        source_href="https://example.com/items/S2A_T33TVL_20240310T100021_L1C",
        model=load_registry().get("ukis-csmask-6b-l1c").spec,
        epsg=EPSG,
        transform=TRANSFORM,
        shape_yx=SHAPE_YX,
        resolution_m=10,
        class_counts=COUNTS,
        dilation_m=0.0,
        area=None,
        software={"openeo-kappamask": "0.1.0", "onnxruntime": "1.30.0"},
        created=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        files=result_files,
    )
    return lambda **changes: replace(base, **changes)


@pytest.fixture
def wide_mask(tmp_path: Path) -> Path:
    """(600, 1500) mask: clear on the left, cloud on the right, undefined at the bottom."""
    classes = np.full((600, 1500), MaskClass.CLEAR, np.uint8)
    classes[:, 750:] = MaskClass.CLOUD
    classes[450:] = MaskClass.UNDEFINED
    with CogWriter(tmp_path / "wide.tif", build_mask_profile((600, 1500), TRANSFORM, EPSG)) as one:
        one.write(0, classes)
        path = one.finish()
    with rasterio.open(path) as dataset:
        assert dataset.overviews(1)
    return path
