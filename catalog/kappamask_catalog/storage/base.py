"""What a storage of published files promises, whatever is behind it.

A storage keeps files under keys: parts with slashes between, such as
`kappamask-l1c/ITEM-ID/17/mask.tif`. The folder of a mask ends with a number that no other try has
(a fencing token of the store), so nobody writes over anybody's files and a published link never
changes what it names. A storage knows neither STAC nor who may read.
"""

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kappamask_udf.errors import StorageError

Progress = Callable[[int, int], None]
"""Called with bytes that are stored and bytes in all."""

MAX_PART_BYTES = 200
"""Of a part of a key. File systems take 255; this leaves room for marks of unfinished files."""
MAX_KEY_BYTES = 900
"""Of a key; S3 takes 1024, and the prefix of a storage comes before it."""

# What needs no quoting in URLs, S3 keys and file names on all systems, without `~`, which obstore
# quotes, and without a dot at the beginning: such names are hidden, `..` among them.
_PART = re.compile(r"[A-Za-z0-9_=@,-][A-Za-z0-9_.=@,-]*")
_NO_PART = re.compile(rb"[^A-Za-z0-9_.@,-]")
# Sources: OGC 24-014 (COG media type), RFC 7946, IANA.
_MEDIA_TYPES = {
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".png": "image/png",
    ".json": "application/json",
    ".geojson": "application/geo+json",
    ".xml": "application/xml",
    ".parquet": "application/vnd.apache.parquet",
}


@dataclass(frozen=True)
class StoredFile:
    """A file that was stored and checked."""

    href: str
    """`file:` or `s3:` URI below the storage's root."""
    size: int
    """Bytes."""
    sha256: str
    """Of the contents, hexadecimal."""


class MaskStorage(Protocol):
    """Keeps files of published masks. All methods are safe from several threads and processes.

    Every method raises `StorageError` where the storage cannot be reached, forbids it, or is
    full, and for a key that is none. For a file that is not there its cause is a
    `FileNotFoundError` or `IsADirectoryError`, or it has none.
    """

    @property
    def root_uri(self) -> str:
        """URI of the root, without a slash at the end."""
        ...

    def put_folder(
        self, local: Path, prefix: str, progress: Progress | None = None
    ) -> dict[str, StoredFile]:
        """Store all files of a local folder under `prefix/NAME`.

        When it returns, all are there and have been compared with the originals. If it fails,
        nothing remains that it could remove, and what it could not `delete_prefix` removes; no
        item links to it, as the caller learns no href. The local files stay, and must not be
        changed any more: they may share their contents with the stored ones.

        Args:
            local: has files, no folders and no links.
            prefix: where to; nothing may be there. Its last part should be a fencing token.
            progress: called as bytes are stored.

        Returns:
            What was stored, by name.
        """
        ...

    def delete_prefix(self, prefix: str) -> int:
        """Remove all files below a prefix, unfinished uploads too; how many files there were."""
        ...

    def list_prefixes(self, prefix: str = "") -> list[str]:
        """The prefixes one part longer than this one below which there are files, sorted.

        An S3 server that keeps folders may list one for a while after its last file is gone; ask
        `exists` where that matters.
        """
        ...

    def exists(self, prefix: str) -> bool:
        """Whether there is a file below a prefix."""
        ...

    def size(self, key: str) -> int:
        """Bytes of a file. Raises `StorageError` if there is none."""
        ...

    def read(self, key: str, start: int, stop: int) -> bytes:
        """Bytes from `start` on, up to but without `stop`; fewer where the file ends before."""
        ...

    def media_type(self, key: str) -> str:
        """What kind of file it is, for `Content-Type`."""
        ...

    def etag(self, key: str) -> str:
        """Strong entity tag, in quotes: another one for other contents."""
        ...

    def redirect(self, key: str, seconds: float) -> str | None:
        """A URL that gives the file to everybody who has it, for a while; `None` if the storage
        has no such URLs and the caller must send the bytes.
        """
        ...

    def key_of(self, href: str) -> str | None:
        """The key that a URI names, `None` if it is not one below the root."""
        ...


def check_key(key: str, what: str = "key") -> str:
    """The key itself.

    Raises:
        StorageError: it is absolute, has empty or hidden parts or `..`, characters that some
            system does not take, or is too long.
    """
    parts = key.split("/")
    bad = next((part for part in parts if not _is_part(part)), None)
    if bad is not None:
        raise StorageError(
            f"{key!r} is no {what} of a storage: the part {bad!r} must be of letters, digits and "
            f"_ - . = @ , with no dot first, and at most {MAX_PART_BYTES} bytes long"
        )
    if len(key) > MAX_KEY_BYTES:
        raise StorageError(f"{key[:40]!r}... is no {what}: {len(key)} > {MAX_KEY_BYTES} bytes")
    return key


def _is_part(part: str) -> bool:
    return _PART.fullmatch(part) is not None and len(part) <= MAX_PART_BYTES


def key_part(text: str) -> str:
    """A part of a key for any text, such as an item's id: other characters become `=XX`, the
    hexadecimal of their UTF-8. Different texts give different parts.
    """
    quoted = _NO_PART.sub(lambda found: b"=%02X" % found[0][0], text.encode())
    if quoted.startswith(b"."):
        quoted = b"=2E" + quoted[1:]
    return quoted.decode()


def media_type_of(key: str) -> str:
    """Media type by the end of a name."""
    suffix = Path(key).suffix.lower()
    return _MEDIA_TYPES.get(suffix, "application/octet-stream")


def local_files(folder: Path) -> list[Path]:
    """The files of a folder that is to be stored, by name.

    Raises:
        StorageError: it is not there or empty, or has folders, links or other special files.
    """
    try:
        files = sorted(folder.iterdir())
        modes = [path.lstat().st_mode for path in files]
    except OSError as error:
        raise StorageError(f"{folder} cannot be read: {error.strerror or error}") from error
    for path, mode in zip(files, modes, strict=True):
        check_key(path.name, "file name")
        if not stat.S_ISREG(mode):
            raise StorageError(f"{path} is no plain file; a mask is a folder of plain files")
    if not files:
        raise StorageError(f"{folder} is empty; there is nothing to store")
    return files


def occupied(prefix: str, root_uri: str) -> StorageError:
    """What is raised where there are files under a prefix already."""
    return StorageError(
        f"there are files under {root_uri}/{prefix} already; take a new token, or remove them first"
    )
