"""A store with a public, an owned and a foreign collection, and applications over it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.requests import Request

from kappamask_catalog.masking import MaskOptions, prepare_mask
from kappamask_catalog.results import MaskResult, write_mask
from kappamask_catalog.scene import DEMO_DATES, DemoScene, write_product
from kappamask_catalog.sources import open_product
from kappamask_catalog.stac_api import StacApiSettings, StorageLinks, create_stac_app
from kappamask_catalog.storage.folder import FolderStorage
from kappamask_catalog.store.base import ANYBODY, OPERATOR, Access, Caller, Store, Visibility
from kappamask_udf.models import load_registry
from tests.catalog.stac_api.documents import (
    COLLECTION_ID,
    build_collection,
    build_item,
    build_series,
)
from tests.catalog.stac_api.tester import ApiTester
from tests.catalog.store.conftest import empty_store, place

__all__ = ["empty_store", "place"]

SECRET = "0123456789abcdef0123456789abcdef"
SERIES = 25

SIZE_PX = 306
"""102 cells of the default network: one tile, so that tests are quick."""

BuildApp = Callable[..., FastAPI]


@pytest.fixture
def store(empty_store: Store) -> Store:
    """25 public items, two of ann's and one of bob's."""
    empty_store.put_collection(build_collection(), Access())
    empty_store.upsert_items("kappamask-l1c", build_series(SERIES))
    for owner, count in (("ann", 2), ("bob", 1)):
        name = f"masks-of-{owner}"
        empty_store.put_collection(build_collection(name), Access(owner, Visibility.PRIVATE))
        items = [build_item(f"{owner}-{n}", collection_id=name) for n in range(count)]
        empty_store.upsert_items(name, items)
    return empty_store


def identify_by_header(request: Request) -> Caller:
    """Who the header says; the real way is another part's."""
    user = request.headers.get("x-test-user")
    if user is None:
        return ANYBODY
    return OPERATOR if user == "operator" else Caller(user)


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path / "storage")


@pytest.fixture
def build_app(store: Store, storage: FolderStorage) -> BuildApp:
    """An application over the store, with settings by name."""

    def build(clock: Callable[[], float] | None = None, **settings: Any) -> FastAPI:
        options = StacApiSettings(**settings)
        given = {} if clock is None else {"clock": clock}
        return create_stac_app(
            store, StorageLinks(storage, options, **given), options,
            files=storage, identify=identify_by_header, **given,
        )  # fmt: skip

    return build


@pytest.fixture
def app(build_app: BuildApp) -> FastAPI:
    return build_app(secret=SECRET)


@pytest.fixture
def api(app: FastAPI) -> ApiTester:
    """Somebody who has not logged in."""
    return ApiTester(app)


@pytest.fixture
def ann(app: FastAPI) -> ApiTester:
    return ApiTester(app, "ann")


@pytest.fixture(scope="session")
def mask(tmp_path_factory: pytest.TempPathFactory) -> MaskResult:
    """A real mask of the embedded scene."""
    folder = tmp_path_factory.mktemp("mask")
    scene = DemoScene(size_px=SIZE_PX, date=DEMO_DATES[0])
    paths = write_product(scene, folder / "product")
    with open_product(str(paths.safe)) as product:
        spec = load_registry().default("L1C").spec
        job = prepare_mask(product, spec, MaskOptions(device="cpu"))
        return write_mask(job, folder / "result")


def publish(mask: MaskResult, store: Store, storage: FolderStorage) -> None:
    """Add a mask with its files."""
    files = storage.put_folder(mask.folder, f"{COLLECTION_ID}/mask/1")
    item = mask.item.to_dict(include_self_link=False, transform_hrefs=False)
    for asset in item["assets"].values():
        asset["href"] = files[Path(asset["href"]).name].href
    for link in item["links"]:
        if link["rel"] == "mlm:model":
            link["href"] = files[Path(link["href"]).name].href
    store.upsert_items(COLLECTION_ID, [item])
