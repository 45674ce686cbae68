"""The folder of a result: made aside, renamed into place, complete or not there."""

import errno
import json
import os
import shutil
import signal
import socket
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from kappamask_udf.errors import OutputError, OutputExistsError

PARTIAL_MARK = ".partial-"
"""In the name of every folder that holds something unfinished."""

_KNOWN_NAMES = frozenset(
    {
        "mask.tif",
        "probabilities.tif",
        "preview.png",
        "thumbnail.png",
        "model.json",
        "picture.png",
    }
)
_SIDECAR = ".aux.xml"
"""GDAL and QGIS leave statistics beside a raster in such files."""
_OLD_SUFFIX = "-old"
_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)

_SignalHandler = Callable[[int, FrameType | None], Any] | int | None


class ResultFolder:
    """A folder that becomes visible with `commit`; left without it, nothing remains.

    Use as a context manager; `path` is the hidden folder to write into. An exception, Ctrl-C and
    SIGTERM remove it; what processes that were killed left beside the target is removed at the
    next start.

        with ResultFolder(Path("out")) as folder:
            (folder.path / "mask.tif").write_bytes(...)
            folder.commit()
    """

    def __init__(self, target: Path, overwrite: bool = False):
        """Check that the result may be written.

        Args:
            target: the folder of the result; missing parents are made.
            overwrite: replace a result that is there. A folder with other files never is.

        Raises:
            OutputExistsError: there is a result and `overwrite` is off.
            OutputError: the target is no place for a result.
        """
        self.target = Path.cwd() / target
        self._overwrite = overwrite
        self._is_committed = False
        self._handler_before: _SignalHandler = None
        _check_target(self.target, overwrite)

    def __enter__(self) -> Self:
        parent = self.target.parent
        name = f"{_prefix(self.target.name)}{os.getpid()}-{uuid.uuid4().hex[:8]}"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(parent, self.target.name)
            self.path = parent / name
            # Not by `tempfile`: that folder would stay closed to the group after the rename.
            self.path.mkdir()
        except OSError as error:
            raise OutputError(
                f"cannot write into {parent}: {error.strerror}; choose another folder with --output"
            ) from error
        self._handler_before = _catch_terminate()
        return self

    def commit(self) -> None:
        """Put the folder in its place, an old result away first.

        Raises:
            OutputExistsError: meanwhile another process put a result there.
            OutputError: it cannot be renamed; an old result is back in its place.
        """
        _check_target(self.target, self._overwrite)
        old = self.path.with_name(f"{self.path.name}{_OLD_SUFFIX}")
        try:
            _swap(self.path, self.target, old)
        except OSError as error:
            raise OutputError(
                f"cannot put the result into {self.target}: {error.strerror}"
            ) from error
        self._is_committed = True
        shutil.rmtree(old, ignore_errors=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if not self._is_committed:
                shutil.rmtree(self.path, ignore_errors=True)
        finally:
            _restore_terminate(self._handler_before)
        if isinstance(error, OSError) and error.errno in _FULL_ERRNOS:
            free = shutil.disk_usage(self.target.parent).free
            raise OutputError(
                f"cannot write {self.target}: the disk is full, {free / 1e6:.0f} MB are free; free "
                "some space or choose another folder with --output"
            ) from error


def _swap(new: Path, target: Path, old: Path) -> None:
    """Rename `target` to `old` if it is there and `new` to `target`, or leave all as it was."""
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        if old.exists():
            old.rename(target)
        raise


def _catch_terminate() -> _SignalHandler:
    """Let SIGTERM raise, where nobody else handles it; returns the handler to put back."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        return signal.signal(signal.SIGTERM, _raise_exit)
    return None


def _restore_terminate(handler: _SignalHandler) -> None:
    if handler is not None:
        signal.signal(signal.SIGTERM, handler)


def _raise_exit(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    # 128 + number is what shells report for a process that a signal ended.
    raise SystemExit(128 + number)


def _check_target(target: Path, overwrite: bool) -> None:
    if target.suffix.lower() in (".tif", ".tiff"):
        raise OutputError(
            f"the result is a folder, {target.name} looks like a file; give --output without "
            f"{target.suffix}"
        )
    if not target.exists() and not target.is_symlink():
        return
    if not target.is_dir() or target.is_symlink():
        raise OutputError(f"{target} is no folder; choose another one with --output")
    names = _list_names(target)
    if not names:
        return
    foreign = [name for name in names if not _is_ours(target, name)]
    if foreign:
        raise OutputError(
            f"{target} holds other files ({foreign[0]}); a result needs a folder of its own, "
            "choose another one with --output"
        )
    if not overwrite:
        raise OutputExistsError(
            f"there is a result in {target} already; replace it with --overwrite or choose "
            "another folder with --output"
        )


def _list_names(target: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in target.iterdir())
    except OSError as error:
        raise OutputError(
            f"cannot look into {target}: {error.strerror}; choose another folder with --output"
        ) from error


def _is_ours(folder: Path, name: str) -> bool:
    """A file of a result: one of the known names, a sidecar of one, or the item of a mask."""
    path = folder / name
    if not path.is_file() or path.is_symlink():
        return False
    return name.removesuffix(_SIDECAR) in _KNOWN_NAMES or _is_mask_item(path)


def _is_mask_item(path: Path) -> bool:
    if path.suffix != ".json":
        return False
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    properties = document.get("properties") if isinstance(document, dict) else None
    return isinstance(properties, dict) and "kappamask:model" in properties


def _prefix(target_name: str) -> str:
    """How hidden folders for a target begin; the rest is PID - RANDOM.

    The host is part of it: on a shared disk the processes of another one cannot be looked up.
    """
    host = "".join(char for char in socket.gethostname() if char.isalnum())
    return f".{target_name}{PARTIAL_MARK}{host}-"


def _remove_leftovers(parent: Path, target_name: str) -> None:
    """Remove the hidden folders of processes of this host that are gone.

    A result put away by a swap that was interrupted goes back to its place.
    """
    prefix = _prefix(target_name)
    leftovers = [path for path in parent.iterdir() if path.name.startswith(prefix)]
    for path in leftovers:
        pid = path.name.removeprefix(prefix).partition("-")[0]
        if not pid.isdecimal() or is_alive(int(pid)):
            continue
        target = parent / target_name
        if path.name.endswith(_OLD_SUFFIX) and not target.exists():
            path.rename(target)
        else:
            shutil.rmtree(path, ignore_errors=True)


def is_alive(pid: int) -> bool:
    """Whether a process of this host runs."""
    if os.name == "nt":
        return True  # `os.kill` would end the process there, whatever the signal.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
