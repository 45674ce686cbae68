"""Published files in a local folder.

A mask is gathered in a hidden folder of the same file system and renamed to its place, so it is
there as a whole or not at all, whatever happens meanwhile.
"""

import errno
import fcntl
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kappamask_catalog.storage.base import (
    Progress,
    StoredFile,
    check_key,
    local_files,
    media_type_of,
    occupied,
)
from kappamask_udf.errors import StorageError

PARTIAL_MARK = ".partial-"
"""How folders at the root begin that are being filled or removed."""
_CHUNK_BYTES = 1 << 20
# A process that makes such a folder locks it at once; younger ones may be in between.
_LEFTOVER_SECONDS = 60.0
# File systems without hard links or across two of them; all else is an error.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES, errno.ENOSYS}
_RENAME_TRIES = 100


class FolderStorage:
    """See `MaskStorage`."""

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.realpath(root))

    def __repr__(self) -> str:
        return f"FolderStorage({str(self._root)!r})"

    @property
    def root_uri(self) -> str:
        """See `MaskStorage.root_uri`."""
        return self._root.as_uri().rstrip("/")

    def put_folder(
        self, local: Path, prefix: str, progress: Progress | None = None
    ) -> dict[str, StoredFile]:
        """See `MaskStorage.put_folder`. Where the file system can, files are linked, not copied."""
        target = self._path(prefix)
        files = local_files(local)
        with _translated(f"cannot write {target}"):
            if target.exists():
                raise occupied(prefix, self.root_uri)
            self._root.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()
            with self._partial() as folder:
                stored = _gather(files, folder, f"{self.root_uri}/{prefix}", progress)
                self._move_into_place(folder, target, prefix)
        return stored

    def _move_into_place(self, folder: Path, target: Path, prefix: str) -> None:
        for left in reversed(range(_RENAME_TRIES)):
            _make_folder(target.parent)
            self._path(prefix)  # A link may have been put in its way.
            try:
                folder.rename(target)
            except FileNotFoundError:
                # Somebody removed the last neighbour, and the empty parent with it.
                if not left:
                    raise
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise occupied(prefix, self.root_uri) from error
                raise
            else:
                break
        for parent in target.parents:
            _sync_folder(parent)
            if parent == self._root:
                return

    def delete_prefix(self, prefix: str) -> int:
        """See `MaskStorage.delete_prefix`. All files vanish at once, then their space is freed."""
        target = self._path(prefix)
        with _translated(f"cannot remove {target}"):
            if not target.is_dir():
                return 0
            hidden = self._hidden_path()
            try:
                target.rename(hidden)
            except FileNotFoundError:
                return 0
            count = sum(len(names) for _, _, names in os.walk(hidden))
            # Another process may take it for a leftover and help.
            shutil.rmtree(hidden, ignore_errors=True)
            if hidden.exists():
                shutil.rmtree(hidden)
            for parent in target.parents:
                if parent == self._root or not _is_removed_empty(parent):
                    break
        return count

    def list_prefixes(self, prefix: str = "") -> list[str]:
        """See `MaskStorage.list_prefixes`."""
        folder = self._path(prefix) if prefix else self._root
        with _translated(f"cannot look into {folder}"):
            if not folder.is_dir():
                return []
            names = sorted(
                entry.name
                for entry in os.scandir(folder)
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
            )
            return [
                f"{prefix}/{name}" if prefix else name
                for name in names
                if _has_files(folder / name)
            ]

    def exists(self, prefix: str) -> bool:
        """See `MaskStorage.exists`."""
        target = self._path(prefix)
        with _translated(f"cannot look into {target}"):
            return _has_files(target)

    def size(self, key: str) -> int:
        """See `MaskStorage.size`."""
        return self._stat(key).st_size

    def read(self, key: str, start: int, stop: int) -> bytes:
        """See `MaskStorage.read`."""
        path = self._path(key)
        if start < 0 or stop < start:
            raise StorageError(f"bytes {start} to {stop} of {key} are no range")
        with _translated(f"cannot read {path}"), path.open("rb") as stream:
            stream.seek(start)
            return stream.read(stop - start)

    def media_type(self, key: str) -> str:
        """See `MaskStorage.media_type`."""
        return media_type_of(check_key(key))

    def etag(self, key: str) -> str:
        """See `MaskStorage.etag`. Of size and time of change, as web servers make it."""
        status = self._stat(key)
        return f'"{status.st_mtime_ns:x}-{status.st_size:x}"'

    def redirect(self, key: str, seconds: float) -> str | None:  # noqa: ARG002
        """See `MaskStorage.redirect`: there are none."""
        check_key(key)
        return None

    def key_of(self, href: str) -> str | None:
        """See `MaskStorage.key_of`."""
        parts = urlsplit(href)
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            return None
        root, path = f"{self._root}/", unquote(parts.path)
        if not path.startswith(root):
            return None
        try:
            return check_key(path.removeprefix(root))
        except StorageError:
            return None

    def _stat(self, key: str) -> os.stat_result:
        path = self._path(key)
        with _translated(f"cannot read {path}"):
            status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise StorageError(f"{path} is no file")
        return status

    def _path(self, key: str) -> Path:
        """Path of a key; links that are part of it must not lead out of the root."""
        path = self._root / check_key(key)
        with _translated(f"cannot look up {path}"):
            real = Path(os.path.realpath(path))
        if not real.is_relative_to(self._root):
            raise StorageError(f"{path} leads out of {self._root} by a symbolic link; remove it")
        return path

    def _hidden_path(self) -> Path:
        return self._root / f"{PARTIAL_MARK}{uuid.uuid4().hex}"

    @contextmanager
    def _partial(self) -> Iterator[Path]:
        """A hidden folder, locked while this process lives, that is gone at the end."""
        folder = self._hidden_path()
        folder.mkdir()
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            # Some network file systems lock no folders; leftovers stay there for `_is_left`.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)

    def _remove_leftovers(self) -> None:
        """Remove what processes that were killed left behind."""
        for path in self._root.glob(f"{PARTIAL_MARK}*"):
            with suppress(OSError):
                if _is_left(path):
                    shutil.rmtree(path, ignore_errors=True)


def _make_folder(folder: Path) -> None:
    for left in reversed(range(_RENAME_TRIES)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, FileNotFoundError):
            # It or its parent was there, and somebody removed it, empty, before pathlib went on.
            if not left:
                raise
        else:
            return


def _is_left(folder: Path) -> bool:
    """Whether a hidden folder belongs to nobody: nobody has it locked. Asking takes the lock."""
    if time.time() - folder.stat().st_mtime < _LEFTOVER_SECONDS:
        return False
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _gather(
    files: list[Path], folder: Path, base_uri: str, progress: Progress | None
) -> dict[str, StoredFile]:
    """Put files into a folder so that they outlive a power failure."""
    total = sum(path.stat().st_size for path in files)
    done = 0
    stored = {}
    for path in files:
        target = folder / path.name
        _link_or_copy(path, target)
        digest = sha256()
        size = 0
        with target.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
                if progress is not None:
                    progress(done + size, total)
            os.fsync(stream.fileno())
        if size != path.stat().st_size:
            raise StorageError(f"{path} changed while it was stored; make the mask again")
        done += size
        stored[path.name] = StoredFile(f"{base_uri}/{path.name}", size, digest.hexdigest())
    _sync_folder(folder)
    return stored


def _link_or_copy(path: Path, target: Path) -> None:
    try:
        target.hardlink_to(path)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        with path.open("rb") as source, target.open("xb") as copy:
            shutil.copyfileobj(source, copy, _CHUNK_BYTES)


def _sync_folder(folder: Path) -> None:
    # Not all file systems can; those that cannot promise nothing anyway.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_removed_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def _has_files(folder: Path) -> bool:
    return any(names for _, _, names in os.walk(folder))


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """System errors as `StorageError`, in one line, with what to do where that is known."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError) as error:
        raise StorageError(f"{what}: there is no such file") from error
    except OSError as error:
        hints = {
            errno.ENOSPC: "; free some space",
            errno.EDQUOT: "; free some space or ask for more",
            errno.EACCES: "; give this user the right to",
            errno.EPERM: "; give this user the right to",
            errno.EROFS: "; choose a place that can be written",
        }
        hint = hints.get(error.errno or 0, "")
        raise StorageError(f"{what}: {error.strerror or error}{hint}") from error
