"""What is special about a folder: links, rights, a full disk, and neighbours."""

import errno
import os
import threading
from pathlib import Path

import pytest

from kappamask_catalog.storage import FolderStorage, open_storage
from kappamask_catalog.storage import folder as folder_module
from kappamask_udf.errors import StorageError
from tests.catalog.storage.conftest import MakeFolder

FILES = {"mask.tif": b"tif", "item.json": b"{}"}


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path / "storage")


def test_open_storage_takes_paths_and_file_uris(tmp_path: Path, make_folder: MakeFolder) -> None:
    root = tmp_path / "with space"
    by_path, by_uri = open_storage(str(root)), open_storage(root.as_uri())
    stored = by_path.put_folder(make_folder(FILES), "a/1")
    assert by_path.root_uri == by_uri.root_uri == root.as_uri()
    assert by_uri.key_of(stored["mask.tif"].href) == "a/1/mask.tif"


def test_put_folder_copies_where_files_cannot_be_linked(
    storage: FolderStorage, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    folder = make_folder(FILES)
    storage.put_folder(folder, "a/1")
    assert storage.read("a/1/mask.tif", 0, 9) == b"tif"
    assert not (folder / "mask.tif").samefile(tmp_root(storage) / "a/1/mask.tif")


def tmp_root(storage: FolderStorage) -> Path:
    return Path(storage.root_uri.removeprefix("file://"))


@pytest.mark.parametrize("name", ["a", "a/1"])
def test_link_out_of_the_root_is_not_followed(
    storage: FolderStorage, make_folder: MakeFolder, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / "outside"
    (outside / "1").mkdir(parents=True)
    (outside / "1" / "mask.tif").write_bytes(b"secret")
    (outside / "mask.tif").write_bytes(b"secret")
    link = tmp_root(storage) / name
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    calls = [
        lambda: storage.read("a/1/mask.tif", 0, 9),
        lambda: storage.size("a/1/mask.tif"),
        lambda: storage.exists("a/1"),
        lambda: storage.delete_prefix("a/1"),
        lambda: storage.put_folder(make_folder(FILES), "a/1/2"),
    ]
    for call in calls:
        with pytest.raises(StorageError, match=r"leads out of .* by a symbolic link"):
            call()
    assert (outside / "mask.tif").exists()


def test_put_folder_into_a_file_says_so(tmp_path: Path, make_folder: MakeFolder) -> None:
    (tmp_path / "storage").write_text("in the way")
    with pytest.raises(StorageError, match=r"cannot write .*: "):
        FolderStorage(tmp_path / "storage").put_folder(make_folder(FILES), "a/1")


# The disk of a test cannot be filled and its user may be one whom nothing is forbidden, so the
# system's refusals are made.
@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "No space left on device; free some space"),
        (errno.EACCES, "Permission denied; give this user the right"),
        (errno.EROFS, "Read-only file system; choose a place"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_put_folder_refused_by_the_system_leaves_nothing(
    storage: FolderStorage,
    make_folder: MakeFolder,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    message: str,
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    folder = make_folder(FILES)
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match=message) as caught:
        storage.put_folder(folder, "a/1")
    assert "\n" not in str(caught.value)
    assert list(tmp_root(storage).iterdir()) == []


def test_hidden_folders_are_never_listed(storage: FolderStorage, make_folder: MakeFolder) -> None:
    storage.put_folder(make_folder(FILES), "a/1")
    hidden = tmp_root(storage) / f"{folder_module.PARTIAL_MARK}x"
    hidden.mkdir()
    (hidden / "mask.tif").write_bytes(b"half")
    assert storage.list_prefixes() == ["a"]


def test_put_folder_leaves_the_hidden_folder_of_one_who_works(
    storage: FolderStorage, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "_LEFTOVER_SECONDS", -1)
    inner: list[str] = []

    def meanwhile(done: int, total: int) -> None:
        if not inner:
            inner.append("started")
            storage.put_folder(make_folder(FILES), "a/2")

    storage.put_folder(make_folder(FILES), "a/1", meanwhile)
    assert storage.list_prefixes("a") == ["a/1", "a/2"]


def test_put_and_delete_at_the_same_time_are_both_done(
    storage: FolderStorage, make_folder: MakeFolder
) -> None:
    folders = {number: make_folder(FILES) for number in range(40)}
    errors: list[Exception] = []

    def work(numbers: range) -> None:
        try:
            for number in numbers:
                storage.put_folder(folders[number], f"c/item/{number}")
                assert storage.delete_prefix(f"c/item/{number}") == 2
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(range(i, 40, 4),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert list(tmp_root(storage).iterdir()) == []


def test_only_one_of_many_puts_the_same_prefix(
    storage: FolderStorage, make_folder: MakeFolder
) -> None:
    folders = [make_folder({"mask.tif": bytes([number])}) for number in range(8)]
    results: list[object] = []

    def work(folder: Path) -> None:
        try:
            results.append(storage.put_folder(folder, "c/item/1")["mask.tif"].sha256)
        except StorageError as error:
            results.append(error)

    threads = [threading.Thread(target=work, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(result, str) for result in results) == 1
    assert storage.size("c/item/1/mask.tif") == 1
