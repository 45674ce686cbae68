"""A SAFE product inside a zip archive, unpacked no further than it is needed.

Every member's name is checked before anything is written, sizes are limited before and while
unpacking. Metadata and masks are unpacked at once, each band when it is first opened.
"""

import errno
import shutil
import stat
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from kappamask_catalog.sources.documents import MAX_DOCUMENT_BYTES
from kappamask_udf.errors import CorruptDataError, OutputError, ProductError, UnsafeArchiveError

# A full Level-2A product has about 1.2 GB in 150 files of which the largest has 150 MB; these
# limits leave room for several times that.
MAX_MEMBERS = 20_000
"""Most members of an archive."""
MAX_TOTAL_BYTES = 8 << 30
"""Most bytes that an archive may unpack to."""
MAX_MEMBER_BYTES = 2 << 30
"""Most bytes that one member may unpack to."""
MAX_RATIO = 200
"""Most bytes that a packed byte may unpack to, in members above 1 MiB: JP2 hardly packs at all and
XML below 50 times, while a zip bomb reaches 1000."""
_RATIO_FREE_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20
_METADATA_NAMES = ("manifest.safe", "mtd_msil1c.xml", "mtd_msil2a.xml")


class FileStore(Protocol):
    """Where the files of a product come from."""

    def has(self, path: Path) -> bool:
        """Whether there is such a file."""
        ...

    def bring(self, path: Path) -> None:
        """Makes sure that the file, if there is one, is at its path."""
        ...


class Folder:
    """Files that are where they are."""

    def has(self, path: Path) -> bool:
        """See `FileStore.has`."""
        return path.is_file()

    def bring(self, path: Path) -> None:
        """See `FileStore.bring`."""


class SafeArchive:
    """The one product of a zip archive."""

    def __init__(self, path: Path, folder: Path) -> None:
        """Opens an archive, checks all of it and unpacks metadata and masks.

        Args:
            path: the archive.
            folder: an existing, empty folder to unpack to; its owner removes it.

        Raises:
            UnsafeArchiveError: a member would leave the folder or the archive is a bomb.
            CorruptDataError: it is damaged.
            ProductError: it is no zip archive, holds no product or several.
        """
        self._source = path
        self._folder = folder
        self._lock = threading.Lock()
        self._archive = _open_zip(path)
        try:
            self._members = _checked_members(self._archive, path)
            inner_root = _find_root(self._members, path)
            self.root = folder / inner_root
            for name, member in self._members.items():
                if _is_metadata(PurePosixPath(name), inner_root):
                    self._unpack(member, folder / name)
        except BaseException:
            self._archive.close()
            raise

    def has(self, path: Path) -> bool:
        """See `FileStore.has`."""
        return self._member(path) is not None or path.is_file()

    def bring(self, path: Path) -> None:
        """See `FileStore.bring`: unpacks the member if that has not been done.

        Raises:
            CorruptDataError: the member is damaged.
            OutputError: there is no room to unpack it.
        """
        member = self._member(path)
        if member is None:
            return
        with self._lock:
            if not path.is_file():
                self._unpack(member, path)

    def close(self) -> None:
        """Closes the archive; what is unpacked stays."""
        self._archive.close()

    def _member(self, path: Path) -> zipfile.ZipInfo | None:
        if not path.is_relative_to(self._folder):
            return None
        return self._members.get(path.relative_to(self._folder).as_posix())

    def _unpack(self, member: zipfile.ZipInfo, target: Path) -> None:
        part = target.with_name(target.name + ".part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._archive.open(member) as source, part.open("wb") as file:
                _copy(source, file.write, member, self._source)
            part.replace(target)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise CorruptDataError(
                f"{member.filename} in {self._source.name} cannot be unpacked ({error}); get the "
                "archive again"
            ) from error
        except RuntimeError as error:  # what zipfile raises for an encrypted member
            raise ProductError(f"{self._source.name} cannot be unpacked: {error}") from error
        except OSError as error:
            room = "; give a folder with more room" if error.errno == errno.ENOSPC else ""
            raise OutputError(
                f"{member.filename} cannot be unpacked to {self._folder}: "
                f"{error.strerror or error}{room}"
            ) from error
        finally:
            part.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Removes a folder with what was unpacked to it, as far as that is possible."""
    shutil.rmtree(folder, ignore_errors=True)


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise CorruptDataError(
            f"{path} is no complete zip archive ({error}); get the file again"
        ) from error
    except OSError as error:
        raise ProductError(f"{path} cannot be read: {error.strerror or error}") from error


def _checked_members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive by name, when all of its members have passed the checks."""
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise UnsafeArchiveError(
            f"{path.name} has {len(members)} members, more than {MAX_MEMBERS}; no product has"
        )
    for member in members:
        _check_name(member, path)
        _check_size(member, path)
    total = sum(member.file_size for member in members)
    if total > MAX_TOTAL_BYTES:
        raise UnsafeArchiveError(
            f"{path.name} would unpack to {total >> 20} MiB, more than "
            f"{MAX_TOTAL_BYTES >> 20} MiB; no product does"
        )
    return {
        PurePosixPath(member.filename).as_posix(): member
        for member in members
        if not member.is_dir()
    }


def _check_name(member: zipfile.ZipInfo, path: Path) -> None:
    name = member.orig_filename
    parts = name.replace("\\", "/").split("/")
    climbs = ".." in parts or name.startswith(("/", "\\")) or "\0" in name
    has_drive = len(parts[0]) > 1 and parts[0][1] == ":"
    if climbs or has_drive or "\\" in name:
        raise UnsafeArchiveError(
            f"{path.name} has a member that would be written outside of its folder: {name!r}; do "
            "not use this archive"
        )
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UnsafeArchiveError(
            f"{path.name} has a member that is a link or a device: {name!r}; do not "
            "use this archive"
        )


def _check_size(member: zipfile.ZipInfo, path: Path) -> None:
    ratio = member.file_size / max(member.compress_size, 1)
    is_bomb = member.file_size > _RATIO_FREE_BYTES and ratio > MAX_RATIO
    if is_bomb or member.file_size > MAX_MEMBER_BYTES:
        raise UnsafeArchiveError(
            f"{path.name} has a member that would unpack from {member.compress_size} to "
            f"{member.file_size} bytes: {member.filename!r}; do not use this archive"
        )


def _find_root(members: dict[str, zipfile.ZipInfo], path: Path) -> PurePosixPath:
    """Folder of the one product inside."""
    roots = {
        PurePosixPath(name).parent
        for name in members
        if PurePosixPath(name).name.lower() in _METADATA_NAMES
    }
    if not roots:
        raise ProductError(
            f"{path.name} holds no SAFE product: no MTD_MSIL1C.xml or MTD_MSIL2A.xml"
        )
    if len(roots) > 1:
        names = ", ".join(sorted(root.name for root in roots))
        raise ProductError(f"{path.name} holds several products ({names}); give one at a time")
    return roots.pop()


def _is_metadata(name: PurePosixPath, root: PurePosixPath) -> bool:
    if not name.is_relative_to(root):
        return False
    match name.relative_to(root).parts:
        case (file,):
            return file.lower() in _METADATA_NAMES
        case ("GRANULE", _, file):
            return file == "MTD_TL.xml"
        case ("GRANULE", _, "QI_DATA", file):
            return "MSK_" in file and file.endswith((".jp2", ".gml"))
    return False


def _copy(
    source: IO[bytes], write: Callable[[bytes], int], member: zipfile.ZipInfo, path: Path
) -> None:
    """Copies a member, never more than it announced: what was checked is what is written."""
    limit = member.file_size
    if not member.filename.endswith(".jp2"):
        limit = min(limit, MAX_DOCUMENT_BYTES)
    written = 0
    while chunk := source.read(_CHUNK_BYTES):
        written += len(chunk)
        if written > limit:
            raise UnsafeArchiveError(
                f"{member.filename} in {path.name} unpacks to more than {limit} bytes; do not use "
                "this archive"
            )
        write(chunk)
