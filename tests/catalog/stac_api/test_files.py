"""Files of masks: ranges, validators, signatures, and keys that try to leave the storage."""

import json
import random
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI

from kappamask_catalog.stac_api import StacApiSettings
from kappamask_catalog.stac_api import files as files_module
from kappamask_catalog.storage.folder import FolderStorage
from kappamask_catalog.store.base import Access, Store, Visibility
from tests.catalog.stac_api.conftest import SECRET, BuildApp
from tests.catalog.stac_api.documents import build_collection, build_item
from tests.catalog.stac_api.live import raw_request, serve
from tests.catalog.stac_api.tester import BASE, ApiTester

# The kind of store does not matter here.
pytestmark = pytest.mark.parametrize("place", ["sqlite"], indirect=True)

CONTENT = random.Random(7).randbytes(3_000_001)
PUBLIC = "/assets/kappamask-l1c/item/1/mask.tif"
NOW = 1_750_000_000.0


@pytest.fixture(autouse=True)
def hrefs(storage: FolderStorage, store: Store, tmp_path: Path) -> dict[str, str]:
    """A file in each collection, linked from an item `with-file`; stored hrefs by collection."""
    folder = tmp_path / "new"
    stored = {}
    names = ("kappamask-l1c", "masks-of-ann", "masks-of-bob")
    for name in names:
        folder.mkdir()
        (folder / "mask.tif").write_bytes(CONTENT)
        stored[name] = storage.put_folder(folder, f"{name}/item/1")["mask.tif"].href
        item = build_item("with-file", collection_id=name, href=stored[name])
        store.upsert_items(name, [item])
        (folder / "mask.tif").unlink()
        folder.rmdir()
    return stored


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def href_of(api: ApiTester, collection: str) -> str:
    item = api.get(f"/collections/{collection}/items/with-file")
    return item["assets"]["mask"]["href"]


def test_public_file_is_linked_plainly_and_served(api: ApiTester) -> None:
    assert href_of(api, "kappamask-l1c") == BASE.rstrip("/") + PUBLIC
    response = api.request("GET", PUBLIC)
    assert response.status_code == 200
    assert response.content == CONTENT
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["content-type"].startswith("image/tiff")
    assert response.headers["cache-control"] == "public, max-age=3600"
    assert "Content-Range" in response.headers["access-control-expose-headers"]


def test_file_is_never_compressed(api: ApiTester) -> None:
    response = api.request("GET", PUBLIC, headers={"Accept-Encoding": "br, gzip"})
    assert "content-encoding" not in response.headers
    assert response.headers["content-length"] == str(len(CONTENT))


def test_file_head_says_size_without_body(api: ApiTester) -> None:
    response = api.request("HEAD", PUBLIC, headers={"Range": "bytes=0-9"})
    assert response.status_code == 200
    assert response.headers["content-length"] == str(len(CONTENT))
    assert response.content == b""


SIZE = len(CONTENT)


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=100-", 100, SIZE),
        ("bytes=-5", SIZE - 5, SIZE),
        (f"bytes=-{SIZE + 5}", 0, SIZE),
        (f"bytes={SIZE - 3}-{SIZE + 100}", SIZE - 3, SIZE),
        ("BYTES = 1 - 2", 1, 3),
        (f"bytes=5-{files_module.CHUNK_BYTES + 100}", 5, files_module.CHUNK_BYTES + 101),
    ],
)
def test_file_range_gives_these_bytes(api: ApiTester, asked: str, start: int, stop: int) -> None:
    response = api.request("GET", PUBLIC, headers={"Range": asked})
    assert response.status_code == 206
    assert response.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert response.headers["content-length"] == str(stop - start)
    assert response.content == CONTENT[start:stop]


@pytest.mark.parametrize(
    "asked",
    ["bytes=5-1", "bytes=a-b", "bytes=-", "items=0-1", "bytes=0-1,5-6", "bytes=" + "9" * 99 + "-"],
)
def test_file_range_that_is_none_gives_the_whole_file(api: ApiTester, asked: str) -> None:
    response = api.request("GET", PUBLIC, headers={"Range": asked})
    assert response.status_code == 200
    assert len(response.content) == SIZE


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE + 7}-{SIZE + 9}", "bytes=-0"])
def test_file_range_behind_the_end_is_416(api: ApiTester, asked: str) -> None:
    headers = {"Range": asked}
    api.assert_error("GET", PUBLIC, 416, "RangeNotSatisfiable", headers=headers)
    response = api.request("GET", PUBLIC, headers=headers)
    assert response.headers["content-range"] == f"bytes */{SIZE}"


def test_file_known_version_is_304(api: ApiTester) -> None:
    etag = api.request("HEAD", PUBLIC).headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        response = api.request("GET", PUBLIC, headers={"If-None-Match": known})
        assert response.status_code == 304
        assert response.headers["etag"] == etag
        assert response.content == b""
    response = api.request("GET", PUBLIC, headers={"If-None-Match": '"other"'})
    assert response.status_code == 200


def test_file_range_of_another_version_gives_the_whole_file(api: ApiTester) -> None:
    etag = api.request("HEAD", PUBLIC).headers["etag"]
    for known, status in ((etag, 206), ('"other"', 200), (f"W/{etag}", 200)):
        headers = {"Range": "bytes=0-3", "If-Range": known}
        assert api.request("GET", PUBLIC, headers=headers).status_code == status


@pytest.mark.parametrize(
    "path",
    [
        "/assets/kappamask-l1c/../masks-of-bob/item/1/mask.tif",
        "/assets/kappamask-l1c/%2e%2e/masks-of-bob/item/1/mask.tif",
        "/assets/kappamask-l1c%2f..%2fmasks-of-bob%2fitem%2f1%2fmask.tif",
        "/assets/kappamask-l1c/..%5cmasks-of-bob/item/1/mask.tif",
        "/assets/kappamask-l1c/%252e%252e/masks-of-bob/item/1/mask.tif",
        "/assets/kappamask-l1c/item/1/./mask.tif",
        "/assets//kappamask-l1c/item/1/mask.tif",
        "/assets/kappamask-l1c/item/1/mask.tif%00.png",
        "/assets/kappamask-l1c/item/1",
        "/assets/kappamask-l1c/item/1/mask.tif/",
        "/assets/kappamask-l1c/item/1/nothing.tif",
        "/assets/kappamask-l1c//etc/passwd",
        "/assets/kappamask-l1c/item/1/mask.tif/more",
    ],
)
@pytest.mark.enable_socket
def test_file_key_that_leaves_or_is_not_there_is_404(app: FastAPI, path: str) -> None:
    with serve(app) as url, raw_request(url, path) as response:
        assert response.status == 404
        assert json.load(response)["code"] == "NotFound"


@pytest.mark.parametrize("path", ["/assets/../../etc/passwd", "/assets/%2e%2e/x", "/assets/"])
@pytest.mark.enable_socket
def test_file_key_outside_of_collections_is_refused(app: FastAPI, path: str) -> None:
    with serve(app) as url, raw_request(url, path) as response:
        assert response.status in (403, 404)


def test_private_file_is_linked_with_a_signature_that_opens_it(
    ann: ApiTester, api: ApiTester
) -> None:
    href = href_of(ann, "masks-of-ann")
    response = api.request("GET", href)
    assert response.content == CONTENT
    assert response.headers["cache-control"].startswith("private, max-age=")
    assert api.request("GET", href, headers={"Range": "bytes=-1"}).status_code == 206


@pytest.mark.parametrize("path", ["masks-of-bob/item/1/mask.tif", "nothing/at/all.tif"])
def test_private_file_without_signature_is_403_whether_it_is_there_or_not(
    ann: ApiTester, path: str
) -> None:
    ann.assert_error("GET", f"/assets/{path}", 403, "LinkInvalid")


def test_signed_link_changed_in_any_part_is_403(ann: ApiTester) -> None:
    parts = urlsplit(href_of(ann, "masks-of-ann"))
    expires, signature = (parse_qs(parts.query)[name][0] for name in ("expires", "signature"))
    other = "0" if signature[0] != "0" else "1"
    for path, end, signed in (
        (parts.path.replace("ann", "bob"), expires, signature),
        (parts.path, str(int(expires) + 60), signature),
        (parts.path, expires, other + signature[1:]),
        (parts.path, expires, ""),
        (parts.path, expires, "ünlesbar"),
        (parts.path, "", signature),
        (parts.path, "soon", signature),
    ):
        query = {"expires": end, "signature": signed}
        ann.assert_error("GET", path, 403, "LinkInvalid", params=query)


def test_signed_link_ends(build_app: BuildApp, clock: Clock) -> None:
    app = build_app(clock, secret=SECRET, link_seconds=600)
    href = href_of(ApiTester(app, "ann"), "masks-of-ann")
    api = ApiTester(app)
    clock.now = NOW + 599
    assert api.request("GET", href).status_code == 200
    clock.now = NOW + 600 + 60
    api.assert_error("GET", href, 403, "LinkExpired")


def test_signed_link_of_another_secret_is_403(build_app: BuildApp) -> None:
    href = href_of(ApiTester(build_app(secret="f" * 32), "ann"), "masks-of-ann")
    ApiTester(build_app(secret=SECRET)).assert_error("GET", href, 403, "LinkInvalid")


def test_signed_link_is_the_same_for_a_minute(build_app: BuildApp, clock: Clock) -> None:
    ann = ApiTester(build_app(clock, secret=SECRET), "ann")
    first = href_of(ann, "masks-of-ann")
    clock.now += 1
    assert href_of(ann, "masks-of-ann") == first


def test_sign_all_public_files_need_a_signature_too(build_app: BuildApp) -> None:
    api = ApiTester(build_app(secret=SECRET, sign_all=True))
    href = href_of(api, "kappamask-l1c")
    assert "signature=" in href
    assert api.request("GET", href).status_code == 200
    api.assert_error("GET", PUBLIC, 403, "LinkInvalid")


def test_no_secret_private_files_cannot_be_had_and_it_is_said_why(build_app: BuildApp) -> None:
    ann = ApiTester(build_app(), "ann")
    href = href_of(ann, "masks-of-ann")
    assert "signature" not in href
    assert "KAPPAMASK_API_SECRET" in ann.assert_error("GET", href, 403, "LinkInvalid")
    ann.assert_error("GET", href, 403, "LinkInvalid", params={"signature": "", "expires": ""})


def test_file_of_a_collection_made_private_is_refused_at_once(api: ApiTester, store: Store) -> None:
    assert api.request("HEAD", PUBLIC).status_code == 200
    store.put_collection(build_collection(), Access("ann", Visibility.PRIVATE))
    assert api.request("HEAD", PUBLIC).status_code == 403


def test_item_of_a_public_collection_with_a_private_file_has_a_signed_link(
    api: ApiTester, store: Store, hrefs: dict[str, str]
) -> None:
    # Such as a mask that was published again without its files.
    store.upsert_items("kappamask-l1c", [build_item("other", href=hrefs["masks-of-ann"])])
    item = api.get("/collections/kappamask-l1c/items/other")
    assert api.request("GET", item["assets"]["mask"]["href"]).status_code == 200


def test_file_that_storage_gives_itself_is_a_redirect(
    build_app: BuildApp, storage: FolderStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        storage, "redirect", lambda key, seconds: f"https://s3.example/{key}?for={seconds}"
    )
    response = ApiTester(build_app()).request("GET", PUBLIC)
    assert response.status_code == 307
    assert response.headers["location"] == (
        "https://s3.example/kappamask-l1c/item/1/mask.tif?for=3600"
    )
    assert response.headers["cache-control"] == "no-store"


def test_storage_that_fails_is_503_without_its_paths(
    api: ApiTester, storage: FolderStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kappamask_udf.errors import StorageError

    def fail(_: str) -> int:
        raise StorageError("cannot read /secret/folder") from PermissionError()

    monkeypatch.setattr(storage, "size", fail)
    assert "secret" not in api.assert_error("GET", PUBLIC, 503, "Unavailable")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"sign_all": True}, "KAPPAMASK_API_SIGN_ALL needs KAPPAMASK_API_SECRET"),
        ({"secret": "short"}, "16 characters"),
        ({"public_url": "masks.example"}, "http or https"),
        ({"link_seconds": 0}, "60"),
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        StacApiSettings(**values)


def test_settings_come_from_the_environment_and_hide_the_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAPPAMASK_API_SECRET", SECRET)
    monkeypatch.setenv("KAPPAMASK_API_SIGN_ALL", "true")
    monkeypatch.setenv("KAPPAMASK_API_TITLE", "Our masks")
    settings = StacApiSettings()
    assert (settings.title, settings.sign_all) == ("Our masks", True)
    assert SECRET not in repr(settings)
