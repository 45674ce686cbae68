"""What every storage promises, tried on a folder and on a real S3 server."""

import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from hashlib import sha256
from pathlib import Path

import pytest

from kappamask_catalog.storage import MaskStorage, open_storage
from kappamask_udf.errors import StorageError
from tests.catalog.storage.conftest import MakeFolder

pytestmark = pytest.mark.enable_socket


def filled(storage: MaskStorage, prefix: str = "") -> list[str]:
    """Prefixes with files: this server lists empty ones, too, until it tidies up."""
    return [one for one in storage.list_prefixes(prefix) if storage.exists(one)]


FILES = {"mask.tif": b"II*\0" + bytes(5000), "thumbnail.png": b"png", "empty.json": b""}
PREFIX = "kappamask-l1c/ITEM-1/17"


def test_put_folder_stores_all_files(storage: MaskStorage, make_folder: MakeFolder) -> None:
    stored = storage.put_folder(make_folder(FILES), PREFIX)
    assert set(stored) == set(FILES)
    for name, data in FILES.items():
        key = f"{PREFIX}/{name}"
        assert stored[name].href == f"{storage.root_uri}/{key}"
        assert stored[name].size == storage.size(key) == len(data)
        assert stored[name].sha256 == sha256(data).hexdigest()
        assert storage.key_of(stored[name].href) == key
        assert storage.read(key, 0, len(data)) == data


def test_put_folder_leaves_the_local_files(storage: MaskStorage, make_folder: MakeFolder) -> None:
    folder = make_folder(FILES)
    storage.put_folder(folder, PREFIX)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES


def test_put_folder_outlives_the_local_files(storage: MaskStorage, make_folder: MakeFolder) -> None:
    folder = make_folder(FILES)
    storage.put_folder(folder, PREFIX)
    for path in folder.iterdir():
        path.unlink()
    assert storage.read(f"{PREFIX}/thumbnail.png", 0, 10) == b"png"


def test_put_folder_large_file_goes_in_parts(storage: MaskStorage, make_folder: MakeFolder) -> None:
    data = random.Random(3).randbytes(40_000_000)
    steps: list[tuple[int, int]] = []
    folder = make_folder({"mask.tif": data, "model.json": b"{}"})
    stored = storage.put_folder(folder, PREFIX, lambda *step: steps.append(step))
    key = f"{PREFIX}/mask.tif"
    assert stored["mask.tif"].sha256 == sha256(data).hexdigest()
    assert storage.size(key) == len(data)
    assert storage.read(key, 16_777_210, 16_777_230) == data[16_777_210:16_777_230]
    assert len(steps) > 4
    assert steps == sorted(steps)
    assert steps[-1] == (len(data) + 2, len(data) + 2)
    if storage.root_uri.startswith("s3:"):
        assert storage.etag(key).endswith('-5"')  # five parts


@pytest.mark.parametrize("taken", [PREFIX, "kappamask-l1c/ITEM-1"])
def test_put_folder_where_files_are_is_refused(
    storage: MaskStorage, make_folder: MakeFolder, taken: str
) -> None:
    storage.put_folder(make_folder(FILES), PREFIX)
    with pytest.raises(StorageError, match=r"there are files under .* already"):
        storage.put_folder(make_folder({"mask.tif": b"other"}), taken)
    assert storage.size(f"{PREFIX}/mask.tif") == len(FILES["mask.tif"])


@pytest.mark.parametrize("kind", ["empty", "folder", "link", "hidden", "missing"])
def test_put_folder_of_other_things_is_refused(
    storage: MaskStorage, make_folder: MakeFolder, kind: str
) -> None:
    folder = make_folder({})
    if kind != "empty":
        (folder / "mask.tif").write_bytes(b"x")
    if kind == "folder":
        (folder / "more").mkdir()
    elif kind == "link":
        (folder / "more").symlink_to("/etc/hostname")
    elif kind == "hidden":
        (folder / ".more").write_bytes(b"x")
    elif kind == "missing":
        folder = folder / "nothing"
    with pytest.raises(StorageError) as caught:
        storage.put_folder(folder, PREFIX)
    assert "\n" not in str(caught.value)
    assert not storage.exists(PREFIX)


def test_put_folder_that_fails_leaves_nothing(
    storage: MaskStorage, make_folder: MakeFolder
) -> None:
    class StoppedError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise StoppedError

    folder = make_folder({"a.tif": bytes(10_000_000), "b.tif": bytes(30_000_000)})
    with pytest.raises(StoppedError):
        storage.put_folder(folder, PREFIX, stop)
    assert not storage.exists("kappamask-l1c")
    assert not filled(storage)


_PUT = """
import os, signal, sys
from pathlib import Path
from kappamask_catalog.storage import open_storage

def stop(done, total):
    if done > total // 2:
        print("half", flush=True)
        signal.pause()

open_storage(sys.argv[1]).put_folder(Path(sys.argv[2]), sys.argv[3], stop)
"""


def test_put_folder_killed_in_the_middle_is_not_there_or_can_be_removed(
    storage: MaskStorage, url: str, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder({"a.tif": bytes(10_000_000), "b.tif": bytes(40_000_000)})
    command = [sys.executable, "-c", _PUT, url, str(folder), PREFIX]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        os.kill(process.pid, signal.SIGKILL)
    if storage.root_uri.startswith("file:"):
        assert not storage.exists(PREFIX)
        assert storage.list_prefixes() == []
        _let_time_pass(monkeypatch)
    else:
        assert storage.exists(PREFIX)
        assert storage.delete_prefix(PREFIX) == 1
        assert not storage.exists(PREFIX)
    storage.put_folder(folder, PREFIX)
    assert storage.size(f"{PREFIX}/b.tif") == 40_000_000
    if storage.root_uri.startswith("file:"):
        assert [path.name for path in Path(url).iterdir()] == ["kappamask-l1c"]


def _let_time_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600)


def test_delete_prefix_removes_what_is_below_and_nothing_else(
    storage: MaskStorage, make_folder: MakeFolder
) -> None:
    for prefix in ("c/one/1", "c/one/2", "c/one-more/1"):
        storage.put_folder(make_folder(FILES), prefix)
    assert storage.delete_prefix("c/one/1") == 3
    assert filled(storage, "c/one") == ["c/one/2"]
    assert storage.delete_prefix("c/one") == 3
    assert filled(storage, "c") == ["c/one-more"]
    assert storage.delete_prefix("c/one") == 0
    assert storage.delete_prefix("c") == 3
    assert not filled(storage)


def test_list_prefixes_gives_direct_children_sorted(
    storage: MaskStorage, make_folder: MakeFolder
) -> None:
    for prefix in ("b/x/1", "a/y/10", "a/y/9", "a/x/1"):
        storage.put_folder(make_folder(FILES), prefix)
    assert storage.list_prefixes() == ["a", "b"]
    assert storage.list_prefixes("a") == ["a/x", "a/y"]
    assert storage.list_prefixes("a/y") == ["a/y/10", "a/y/9"]
    assert storage.list_prefixes("a/y/9") == []
    assert storage.list_prefixes("nothing/here") == []


def test_exists_is_about_whole_parts(storage: MaskStorage, make_folder: MakeFolder) -> None:
    storage.put_folder(make_folder(FILES), "c/item-10/1")
    assert storage.exists("c")
    assert storage.exists("c/item-10/1")
    assert not storage.exists("c/item-1")
    assert not storage.exists("other")


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [(0, 3, b"png"), (1, 2, b"n"), (1, 99, b"ng"), (3, 9, b""), (9, 12, b""), (1, 1, b"")],
)
def test_read_gives_what_there_is(
    storage: MaskStorage, make_folder: MakeFolder, start: int, stop: int, expected: bytes
) -> None:
    storage.put_folder(make_folder(FILES), PREFIX)
    assert storage.read(f"{PREFIX}/thumbnail.png", start, stop) == expected


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2)])
def test_read_of_no_range_is_an_error(storage: MaskStorage, start: int, stop: int) -> None:
    with pytest.raises(StorageError, match="are no range"):
        storage.read("a/b", start, stop)


@pytest.mark.parametrize("call", ["size", "etag", "read"])
@pytest.mark.parametrize("key", [f"{PREFIX}/other.tif", PREFIX, "nothing"])
def test_missing_file_is_an_error(
    storage: MaskStorage, make_folder: MakeFolder, call: str, key: str
) -> None:
    storage.put_folder(make_folder(FILES), PREFIX)
    arguments = (0, 5) if call == "read" else ()
    with pytest.raises(StorageError, match=r"there is no such file|is no file") as caught:
        getattr(storage, call)(key, *arguments)
    # Servers answer 404 by this, and 503 for all else.
    assert isinstance(caught.value.__cause__, FileNotFoundError | IsADirectoryError | None)


def test_media_type_is_by_the_name(storage: MaskStorage) -> None:
    cog = "image/tiff; application=geotiff; profile=cloud-optimized"
    assert storage.media_type("a/mask.tif") == cog
    assert storage.media_type("a/thumbnail.png") == "image/png"
    assert storage.media_type("a/item.json") == "application/json"
    assert storage.media_type("a/what") == "application/octet-stream"


def test_etag_is_another_one_for_other_contents(
    storage: MaskStorage, make_folder: MakeFolder
) -> None:
    storage.put_folder(make_folder({"a.json": b"one", "b.json": b"two!"}), PREFIX)
    first, second = (storage.etag(f"{PREFIX}/{name}.json") for name in "ab")
    assert first == storage.etag(f"{PREFIX}/a.json")
    assert first != second
    assert first[0] == first[-1] == '"'


def test_redirect_gives_the_file_without_credentials(
    storage: MaskStorage, make_folder: MakeFolder
) -> None:
    storage.put_folder(make_folder(FILES), PREFIX)
    url = storage.redirect(f"{PREFIX}/mask.tif", 60)
    if storage.root_uri.startswith("file:"):
        assert url is None
        return
    assert url is not None
    request = urllib.request.Request(url, headers={"Range": "bytes=0-3"})
    with urllib.request.urlopen(request) as answer:
        assert (answer.status, answer.read()) == (206, b"II*\0")
        assert answer.headers["Content-Type"] == storage.media_type("mask.tif")


BAD_KEYS = [
    "", "/", "/etc/hostname", "a//b", "a/", "../a", "a/../b", "a/./b", ".partial-x/a", "a\\b",
    "a\0b", "a b", "a\nb", "ä", "a" * 201, "/".join(["a" * 100] * 10), "~/a", "C:/a",
]  # fmt: skip


@pytest.mark.parametrize("key", BAD_KEYS)
def test_key_that_is_none_is_refused(
    storage: MaskStorage, make_folder: MakeFolder, key: str
) -> None:
    folder = make_folder(FILES)
    calls = [
        lambda: storage.put_folder(folder, key),
        lambda: storage.delete_prefix(key),
        lambda: storage.exists(key),
        lambda: storage.size(key),
        lambda: storage.read(key, 0, 1),
        lambda: storage.media_type(key),
        lambda: storage.etag(key),
        lambda: storage.redirect(key, 60),
    ]
    for call in calls:
        with pytest.raises(StorageError, match=r"is no (key|prefix|file name)") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_key_of_other_uris_is_none(storage: MaskStorage) -> None:
    root = storage.root_uri
    assert storage.key_of(f"{root}/a/b.tif") == "a/b.tif"
    for href in (
        root, f"{root}/", f"{root}/../a", f"{root}/a/../../b", f"{root}more/a", f"{root}//a",
        "https://example.org/a", "relative/a", "", "s3://other/a", "file:///other/a",
    ):  # fmt: skip
        assert storage.key_of(href) is None


@pytest.mark.parametrize("name", ["ITEM 1", "a:b", "ü/x", "..", ".hidden", "=41", "x" * 10])
def test_key_part_makes_a_key_of_any_text(
    storage: MaskStorage, make_folder: MakeFolder, name: str
) -> None:
    from kappamask_catalog.storage import key_part

    prefix = f"c/{key_part(name)}/1"
    storage.put_folder(make_folder(FILES), prefix)
    assert storage.exists(prefix)


def test_open_storage_twice_sees_the_same(url: str, make_folder: MakeFolder) -> None:
    open_storage(url).put_folder(make_folder(FILES), PREFIX)
    assert open_storage(url).list_prefixes("kappamask-l1c/ITEM-1") == [PREFIX]
