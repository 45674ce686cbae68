"""Files in S3: the service sends readers to links that S3 signs itself."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from kappamask_catalog.stac_api import StacApiSettings, StorageLinks, create_stac_app
from kappamask_catalog.storage import MaskStorage, open_storage
from kappamask_catalog.store.base import Store
from tests.catalog.stac_api.conftest import SECRET, identify_by_header
from tests.catalog.stac_api.documents import build_item
from tests.catalog.stac_api.live import serve

pytestmark = [
    pytest.mark.enable_socket,
    # The kind of store does not matter here.
    pytest.mark.parametrize("place", ["sqlite"], indirect=True),
]

CONTENT = bytes(range(256)) * 40
PATH = "masks-of-ann/item/1/mask.tif"


@pytest.fixture
def bucket(s3_environment: object) -> MaskStorage:
    return open_storage(f"s3://masks/{uuid.uuid4().hex}")


@pytest.fixture
def url(bucket: MaskStorage, store: Store, tmp_path: Path) -> Iterator[str]:
    """The address of a server; ann's item `with-file` has a file in S3."""
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "mask.tif").write_bytes(CONTENT)
    stored = bucket.put_folder(folder, "masks-of-ann/item/1")["mask.tif"]
    item = build_item("with-file", collection_id="masks-of-ann", href=stored.href)
    store.upsert_items("masks-of-ann", [item])
    settings = StacApiSettings(secret=SECRET)
    app = create_stac_app(
        store, StorageLinks(bucket, settings), settings,
        files=bucket, identify=identify_by_header,
    )  # fmt: skip
    with serve(app) as address:
        yield address


def href_of(url: str) -> str:
    item = requests.get(
        f"{url}collections/masks-of-ann/items/with-file",
        headers={"X-Test-User": "ann"}, timeout=20,
    ).json()  # fmt: skip
    return item["assets"]["mask"]["href"]


def test_file_in_s3_is_read_through_a_signed_redirect(url: str) -> None:
    href = href_of(url)
    assert href.startswith(f"{url}assets/{PATH}?expires=")
    first = requests.get(href, allow_redirects=False, timeout=20)
    assert first.status_code == 307
    assert "X-Amz-Signature=" in first.headers["location"]
    response = requests.get(href, headers={"Range": "bytes=10-19"}, timeout=20)
    assert response.status_code == 206
    assert response.content == CONTENT[10:20]


def test_file_in_s3_head_is_answered_without_redirect(url: str) -> None:
    response = requests.head(href_of(url), allow_redirects=False, timeout=20)
    assert response.status_code == 200
    assert response.headers["content-length"] == str(len(CONTENT))
    assert response.headers["etag"]


def test_file_in_s3_without_signature_is_refused(url: str) -> None:
    response = requests.get(f"{url}assets/{PATH}", timeout=20)
    assert response.status_code == 403
    assert response.json()["code"] == "LinkInvalid"


def test_file_that_is_not_in_s3_is_404(url: str) -> None:
    from kappamask_catalog.stac_api import LinkSigner

    missing = "masks-of-ann/item/1/nothing.tif"
    query = LinkSigner(SECRET).query(missing, 600)
    assert requests.head(f"{url}assets/{missing}?{query}", timeout=20).status_code == 404
