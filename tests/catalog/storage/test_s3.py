"""What is special about S3: faults of the network, refusals, and unfinished uploads."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from hashlib import sha256

import pytest

from kappamask_catalog.storage import open_storage
from kappamask_catalog.storage.s3 import S3Storage
from kappamask_catalog.storage.s3_uploads import Credentials, UploadsClient, abort_uploads
from kappamask_udf.errors import StorageError
from tests.catalog.storage.conftest import MakeFolder
from tests.catalog.storage.s3_proxy import Faults, proxy_s3
from tests.s3 import ACCESS_KEY, SECRET_KEY, S3Server

pytestmark = pytest.mark.enable_socket

PREFIX = "kappamask-l1c/ITEM-1/17"
LARGE = 20_000_000


@pytest.fixture
def faults(s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """Everything goes through a proxy."""
    with proxy_s3(s3_environment.endpoint) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.endpoint)
        yield running


@pytest.fixture
def storage(faults: Faults) -> S3Storage:
    return S3Storage("masks", uuid.uuid4().hex, sleep=lambda _: None)


def times(count: int, status: int, method: str) -> Callable[[str, str], int | None]:
    """The next requests of a method are answered with a status."""
    left = [count]

    def refuse(asked: str, path: str) -> int | None:
        if asked != method or left[0] == 0:
            return None
        left[0] -= 1
        return status

    return refuse


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("size", [10, LARGE])
def test_put_folder_server_that_is_busy_is_tried_again(
    storage: S3Storage, faults: Faults, make_folder: MakeFolder, status: int, size: int
) -> None:
    faults.refuse = times(3, status, "PUT")
    storage.put_folder(make_folder({"mask.tif": bytes(size)}), PREFIX)
    assert storage.size(f"{PREFIX}/mask.tif") == size


@pytest.mark.parametrize("size", [10, LARGE])
def test_put_folder_server_that_stays_busy_is_given_up_and_tidied(
    storage: S3Storage, faults: Faults, make_folder: MakeFolder, size: int
) -> None:
    def refuse(method: str, path: str) -> int | None:
        return 503 if method == "PUT" and ("b.tif" in path and "partNumber=1" not in path) else None

    faults.refuse = refuse
    folder = make_folder({"a.tif": b"x", "b.tif": bytes(size)})
    with pytest.raises(StorageError, match=r"cannot write .*/b\.tif: the server answers .* 503"):
        storage.put_folder(folder, PREFIX)
    assert not storage.exists("kappamask-l1c")
    full = storage.root_uri.removeprefix("s3://masks/")
    assert abort_uploads(faults.endpoint, "masks", full) == 0


def test_put_folder_refused_is_not_tried_again(
    storage: S3Storage, faults: Faults, make_folder: MakeFolder
) -> None:
    faults.refuse = times(99, 403, "PUT")
    with pytest.raises(StorageError, match="the server refuses the credentials"):
        storage.put_folder(make_folder({"mask.tif": b"x"}), PREFIX)
    assert [method for method, _ in faults.requests].count("PUT") == 1


def test_put_folder_server_with_tags_of_its_own_is_read_back(
    storage: S3Storage, faults: Faults, make_folder: MakeFolder
) -> None:
    faults.etag = '"encrypted"'
    data = os.urandom(LARGE)
    stored = storage.put_folder(make_folder({"mask.tif": data}), PREFIX)
    assert stored["mask.tif"].sha256 == sha256(data).hexdigest()
    assert any(method == "GET" and path.endswith("mask.tif") for method, path in faults.requests)


def test_put_folder_other_contents_than_sent_are_an_error(
    storage: S3Storage, faults: Faults, make_folder: MakeFolder
) -> None:
    faults.etag, faults.tamper = '"other"', lambda body: body[::-1]
    with pytest.raises(StorageError, match="has other contents than were sent"):
        storage.put_folder(make_folder({"mask.tif": b"abc"}), PREFIX)
    assert not storage.exists(PREFIX)


def test_put_folder_same_tag_is_not_read_back(
    storage: S3Storage, faults: Faults, make_folder: MakeFolder
) -> None:
    storage.put_folder(make_folder({"mask.tif": bytes(LARGE)}), PREFIX)
    assert not any(m == "GET" and p.endswith("mask.tif") for m, p in faults.requests)


_UPLOAD = """
import signal, sys, time
import obstore
from kappamask_catalog.storage.s3 import PART_BYTES, S3Storage

def parts():
    yield bytes(PART_BYTES)
    yield bytes(PART_BYTES)
    yield bytes(PART_BYTES)
    time.sleep(1)
    print("sent", flush=True)
    signal.pause()

obstore.put(S3Storage("masks")._store, sys.argv[1], parts(), use_multipart=True,
            chunk_size=PART_BYTES, max_concurrency=1)
"""


def test_delete_prefix_removes_parts_of_an_upload_that_was_killed(
    storage: S3Storage, s3_environment: S3Server
) -> None:
    full = f"{storage.root_uri.removeprefix('s3://masks/')}/{PREFIX}"
    command = [sys.executable, "-c", _UPLOAD, f"{full}/mask.tif"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"sent\n"
        os.kill(process.pid, signal.SIGKILL)
    assert not storage.exists(PREFIX)
    client = UploadsClient(s3_environment.endpoint, "masks", Credentials(ACCESS_KEY, SECRET_KEY))
    assert [key for key, _ in client.uploads(full)] == [f"{full}/mask.tif"]
    assert storage.delete_prefix(PREFIX) == 0
    assert abort_uploads(s3_environment.endpoint, "masks", full) == 0


def test_delete_prefix_that_may_not_list_uploads_goes_on_with_a_warning(
    storage: S3Storage, faults: Faults, make_folder: MakeFolder, caplog: pytest.LogCaptureFixture
) -> None:
    storage.put_folder(make_folder({"mask.tif": b"x"}), PREFIX)
    faults.refuse = lambda _, path: 403 if "uploads" in path else None
    assert storage.delete_prefix(PREFIX) == 1
    assert "unfinished uploads" in caplog.text


@pytest.mark.parametrize(
    ("name", "value", "bucket", "message"),
    [
        ("AWS_REGION", "us-east-1", "no-such-bucket", "there is no bucket no-such-bucket"),
        ("AWS_SECRET_ACCESS_KEY", "wrong-secret", "masks", "the secret key is wrong"),
        ("AWS_ACCESS_KEY_ID", "AKIAOTHER", "masks", "does not know the access key"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", "masks", "cannot be reached"),
    ],
)
@pytest.mark.parametrize("call", ["put_folder", "list_prefixes", "size"])
def test_server_that_cannot_be_used_says_why(
    s3_environment: S3Server,
    make_folder: MakeFolder,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    bucket: str,
    message: str,
    call: str,
) -> None:
    monkeypatch.setenv(name, value)
    storage = S3Storage(bucket, sleep=lambda _: None)
    arguments = {
        "put_folder": (make_folder({"mask.tif": b"x"}), PREFIX),
        "list_prefixes": (),
        "size": ("a",),
    }
    # Answers to HEAD have no body and tell only the status.
    if call == "size":
        message = f"{message}|refuses the credentials|there is no such file"
    with pytest.raises(StorageError, match=message) as caught:
        getattr(storage, call)(*arguments[call])
    for secret in (SECRET_KEY, ACCESS_KEY, "wrong-secret", "AKIAOTHER"):
        assert secret not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_open_storage_without_credentials_says_so(
    s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StorageError, match="there are no credentials for S3; set AWS_ACCESS"):
        open_storage("s3://masks")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/masks", "s3://", "s3:///prefix", "s3://me:secret@bucket/a",
        "s3://bucket/a?secret=1", "s3://bucket/../a", "s3://bucket/a//b", "file://host/path",
        "gs://bucket/a", "", " ",
    ],
)  # fmt: skip
def test_open_storage_of_another_address_is_an_error(s3_environment: S3Server, url: str) -> None:
    with pytest.raises(StorageError) as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["s3://masks", "s3://masks/", "s3://masks/a/b/"])
def test_open_storage_root_has_no_slash_at_its_end(s3_environment: S3Server, url: str) -> None:
    assert open_storage(url).root_uri == url.rstrip("/")


def test_redirect_is_to_the_public_address(
    s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPPAMASK_S3_PUBLIC_ENDPOINT", "https://files.example.org")
    url = open_storage("s3://masks/x").redirect(f"{PREFIX}/mask.tif", 60)
    assert url is not None
    assert url.startswith(f"https://files.example.org/masks/x/{PREFIX}/mask.tif?X-Amz-")


@pytest.mark.parametrize(("seconds", "expires"), [(90.5, 90), (1e7, 604800), (-5, 1)])
def test_redirect_is_for_seven_days_at_most(
    s3_environment: S3Server, seconds: float, expires: int
) -> None:
    url = open_storage("s3://masks/x").redirect("a/mask.tif", seconds)
    assert url is not None
    assert f"X-Amz-Expires={expires}&" in url


def test_storage_shows_no_secret(s3_environment: S3Server) -> None:
    storage = open_storage("s3://masks/x")
    assert repr(storage) == "S3Storage('s3://masks/x')"
