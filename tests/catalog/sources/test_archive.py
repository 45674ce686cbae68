"""Archives are unpacked with care, and no further than needed."""

import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kappamask_catalog.sources import archive as archive_module
from kappamask_catalog.sources import open_product
from kappamask_udf.errors import CorruptDataError, OutputError, ProductError, UnsafeArchiveError
from kappamask_udf.pixels import PixelWindow
from tests.catalog.sources.safes import zip_folder

MakeSafe = Callable[..., Path]


@pytest.fixture
def packed(l1c_safe: Path, tmp_path: Path) -> Path:
    return zip_folder(l1c_safe, tmp_path / "product.SAFE.zip")


def add_member(path: Path, name: str, data: bytes = b"", mode: int = 0) -> None:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, data)


def test_archive_bands_are_unpacked_when_first_read(packed: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    with open_product(str(packed), workdir=work) as product:
        assert product.band_resolution_m("B8A") == 20
        assert not list(work.rglob("IMG_DATA/*.jp2"))
        product.read_dn("B8A", PixelWindow(0, 1, 0, 1))
        assert [path.name[-7:] for path in work.rglob("IMG_DATA/*.jp2")] == ["B8A.jp2"]


def test_archive_close_removes_what_was_unpacked(packed: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    with open_product(str(packed), workdir=work) as product:
        product.read_dn("B02", PixelWindow(0, 1, 0, 1))
        assert list(work.iterdir())
    assert not list(work.iterdir())


def test_archive_error_inside_the_block_removes_what_was_unpacked(
    packed: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    with pytest.raises(KeyboardInterrupt), open_product(str(packed), workdir=work):
        raise KeyboardInterrupt
    assert not list(work.iterdir())


@pytest.mark.parametrize(
    "name",
    ["../evil.xml", "a/../../evil.xml", "/etc/evil.xml", "C:/evil.xml", "..\\evil.xml", "a\\b.xml"],
)
def test_archive_member_that_climbs_out_is_refused(packed: Path, tmp_path: Path, name: str) -> None:
    add_member(packed, name, b"x")
    work = tmp_path / "work"
    with pytest.raises(UnsafeArchiveError, match="outside of its folder") as caught:
        open_product(str(packed), workdir=work)
    assert "\n" not in str(caught.value)
    assert not list(work.iterdir())
    assert not list(tmp_path.rglob("evil.xml"))


def test_archive_link_is_refused(packed: Path) -> None:
    add_member(packed, "link", b"/etc/hostname", stat.S_IFLNK | 0o777)
    with pytest.raises(UnsafeArchiveError, match="a link or a device"):
        open_product(str(packed))


def test_archive_bomb_is_refused(packed: Path, tmp_path: Path) -> None:
    add_member(packed, "bomb.xml", bytes(8 << 20))
    work = tmp_path / "work"
    with pytest.raises(UnsafeArchiveError, match="would unpack from"):
        open_product(str(packed), workdir=work)
    assert not list(work.iterdir())


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("MAX_MEMBERS", 3, "more than 3"),
        ("MAX_TOTAL_BYTES", 1 << 10, "would unpack to"),
        ("MAX_MEMBER_BYTES", 1 << 10, "would unpack from"),
    ],
)
def test_archive_beyond_a_limit_is_refused(
    packed: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, message: str
) -> None:
    monkeypatch.setattr(archive_module, limit, value)
    with pytest.raises(UnsafeArchiveError, match=message):
        open_product(str(packed))


def test_archive_member_larger_than_announced_is_refused(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "MAX_DOCUMENT_BYTES", 100)
    with pytest.raises(UnsafeArchiveError, match="unpacks to more than 100 bytes"):
        open_product(str(packed))


def test_archive_truncated_says_so(packed: Path) -> None:
    packed.write_bytes(packed.read_bytes()[:-100])
    with pytest.raises(CorruptDataError, match="no complete zip archive"):
        open_product(str(packed))


def test_archive_damaged_member_names_it(make_safe: MakeSafe, tmp_path: Path) -> None:
    path = zip_folder(make_safe(bands=("B02",)), tmp_path / "product.zip")
    with zipfile.ZipFile(path) as archive:
        info = next(info for info in archive.infolist() if info.filename.endswith("_B02.jp2")
                    and "IMG_DATA" in info.filename)  # fmt: skip
    data = bytearray(path.read_bytes())
    middle = info.header_offset + len(info.filename) + 30 + info.compress_size // 2
    data[middle : middle + 50] = bytes(50)
    path.write_bytes(data)
    with (
        open_product(str(path)) as product,
        pytest.raises(CorruptDataError, match=r"_B02\.jp2 in product\.zip cannot be unpacked"),
    ):
        product.read_dn("B02", PixelWindow(0, 1, 0, 1))


def test_archive_without_product_says_so(tmp_path: Path) -> None:
    path = tmp_path / "product.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "nothing")
    with pytest.raises(ProductError, match="holds no SAFE product"):
        open_product(str(path))


def test_archive_with_two_products_names_them(packed: Path) -> None:
    add_member(packed, "other.SAFE/MTD_MSIL1C.xml", b"<a/>")
    with pytest.raises(ProductError, match=r"several products \(.*other\.SAFE\)"):
        open_product(str(packed))


def test_archive_repeated_name_reads_one_of_them(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        name = next(name for name in archive.namelist() if name.endswith("MTD_MSIL1C.xml"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile's, of the repeated name
        add_member(packed, name, b"<broken")
    with pytest.raises(CorruptDataError, match="no well-formed XML"):
        open_product(str(packed))


def test_archive_full_disk_says_so(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive_module, "_copy", fill)
    with pytest.raises(OutputError, match="No space left on device; give a folder with more room"):
        open_product(str(packed), workdir=tmp_path / "work")


def test_archive_unwritable_workdir_says_so(packed: Path, tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(OutputError, match="cannot be unpacked to"):
        open_product(str(packed), workdir=blocker / "work")
