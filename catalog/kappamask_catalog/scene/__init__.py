"""The embedded scene: a real surface under simulated clouds, written as a Sentinel-2 product."""

from kappamask_catalog.scene.demo import DEMO_DATES, DemoScene, Strip
from kappamask_catalog.scene.safe import (
    ProductPaths,
    write_product,
    write_safe_zip,
    write_truth,
)

__all__ = [
    "DEMO_DATES",
    "DemoScene",
    "ProductPaths",
    "Strip",
    "write_product",
    "write_safe_zip",
    "write_truth",
]
