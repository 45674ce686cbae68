"""Small products of each kind, written once for all tests that only read them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import rasterio
from lxml import etree

from kappamask_catalog.scene import DemoScene, ProductPaths, write_product
from kappamask_udf.pixels import PixelWindow

# Off all grids but the 10 m one, with an edge and a loss, so that nothing is square or whole.
SCENE = DemoScene(size_px=127, rows_px=133, missing_share=0.2, lost=PixelWindow(20, 26, 3, 60))
KINDS = [("L1C", "02.09"), ("L1C", "05.11"), ("L2A", "02.14"), ("L2A", "05.11")]


@dataclass(frozen=True)
class Written:
    """A product and what it was made from."""

    scene: DemoScene
    level: str
    baseline: str
    paths: ProductPaths

    @property
    def safe(self) -> Path:
        return self.paths.safe

    @property
    def has_offset(self) -> bool:
        return self.baseline >= "04.00"

    def xml(self, pattern: str) -> Any:
        (path,) = self.safe.glob(pattern)
        return etree.parse(str(path)).getroot()

    def image(self, pattern: str) -> Any:
        (path,) = self.safe.glob(f"GRANULE/*/{pattern}")
        with rasterio.open(path) as dataset:
            return dataset.read()


@pytest.fixture(scope="session")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Written]:
    folder = tmp_path_factory.mktemp("products")
    return {
        (level, baseline): Written(
            SCENE, level, baseline, write_product(SCENE, folder, level=level, baseline=baseline)
        )
        for level, baseline in KINDS
    }


@pytest.fixture(params=KINDS, ids=lambda kind: "-".join(kind))
def product(request: pytest.FixtureRequest, products: dict[tuple[str, str], Written]) -> Written:
    return products[request.param]


@pytest.fixture
def new_l1c(products: dict[tuple[str, str], Written]) -> Written:
    return products["L1C", "05.11"]


@pytest.fixture
def old_l1c(products: dict[tuple[str, str], Written]) -> Written:
    return products["L1C", "02.09"]


@pytest.fixture
def new_l2a(products: dict[tuple[str, str], Written]) -> Written:
    return products["L2A", "05.11"]
