"""The folder of a result: made aside, renamed into place, complete or not there."""

import errno
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from kappamask_udf.errors import OutputError, OutputExistsError

PARTIAL_MARK = ".partial-"
_KNOWN_NAMES = {"mask.tif", "probabilities.tif", "thumbnail.png", "model.json"}


class ResultFolder:
    """A folder that becomes visible with `commit`; left without it, nothing remains.

    Use as a context manager; `path` is the hidden folder to write into. What processes that were
    killed left beside the target is removed at the next start.
    """

    def __init__(self, target: Path, overwrite: bool = False):
        """Check that the result may be written.

        Raises:
            OutputExistsError: there is a result and `overwrite` is off.
            OutputError: the target is no place for a result.
        """
        self.target = Path.cwd() / target
        self._overwrite = overwrite
        self._is_committed = False
        _check_target(self.target, overwrite)

    @property
    def _prefix(self) -> str:
        return f".{self.target.name}{PARTIAL_MARK}"

    def __enter__(self) -> Self:
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(self.target.parent, self._prefix)
            folder = tempfile.mkdtemp(
                prefix=f"{self._prefix}{os.getpid()}-", dir=self.target.parent
            )
        except OSError as error:
            raise OutputError(
                f"cannot write into {self.target.parent}: {error.strerror}; choose another folder "
                "with --output"
            ) from error
        self.path = Path(folder)
        self.path.chmod(0o755)
        return self

    def commit(self) -> None:
        """Put the folder in its place, an old result away first.

        Raises:
            OutputExistsError: meanwhile another process put a result there.
            OutputError: it cannot be renamed.
        """
        _check_target(self.target, self._overwrite)
        old = self.path.with_name(f"{self.path.name}-old")
        try:
            if self.target.exists():
                self.target.rename(old)
            try:
                self.path.rename(self.target)
            except OSError:
                if old.exists():
                    old.rename(self.target)
                raise
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
        if not self._is_committed:
            shutil.rmtree(self.path, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(self.target.parent).free
            raise OutputError(
                f"cannot write {self.target}: the disk is full, {free / 1e6:.0f} MB are free; free "
                "some space or choose another folder with --output"
            ) from error


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
    names = sorted(entry.name for entry in target.iterdir())
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


def _is_ours(folder: Path, name: str) -> bool:
    """A file of a result: one of the known names, or the item of a folder with a mask."""
    is_item = name.endswith(".json") and (folder / "mask.tif").exists()
    return (name in _KNOWN_NAMES or is_item) and (folder / name).is_file()


def _remove_leftovers(parent: Path, prefix: str) -> None:
    """Remove the hidden folders of processes that are gone; `PREFIX PID - RANDOM`.

    A folder put away by a swap that was interrupted goes back to its place.
    """
    for path in parent.glob(f"{prefix}*"):
        pid = path.name.removeprefix(prefix).partition("-")[0]
        if not pid.isdecimal() or _is_alive(int(pid)):
            continue
        target = parent / prefix.removeprefix(".").removesuffix(PARTIAL_MARK)
        if path.name.endswith("-old") and not target.exists():
            path.rename(target)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
