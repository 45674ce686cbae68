"""Reading Sentinel-2: products of any form as STAC items with pixels, and areas of interest."""

from kappamask_catalog.sources.aoi import Aoi, AoiWindow, aoi_window, read_aoi
from kappamask_catalog.sources.cube import open_cube
from kappamask_catalog.sources.opening import open_product
from kappamask_catalog.sources.product import Product
from kappamask_catalog.sources.reading import ReadOptions, S3Access

__all__ = [
    "Aoi",
    "AoiWindow",
    "Product",
    "ReadOptions",
    "S3Access",
    "aoi_window",
    "open_cube",
    "open_product",
    "read_aoi",
]
