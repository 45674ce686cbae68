"""Starting other processes on a store."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .places import Place

_ROOT = Path(__file__).parents[3]


@contextmanager
def child(place: Place, action: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that has said it is ready; killed at the end if it still runs."""
    with _start(place, action, arguments) as process:
        assert read_line(process) == "ready"
        yield process


@contextmanager
def children(
    place: Place, action: str, many: list[tuple[str, ...]]
) -> Iterator[list["subprocess.Popen[str]"]]:
    """Processes that have all begun to do something at the same moment."""
    with ExitStack() as stack:
        processes = [stack.enter_context(_start(place, action, one)) for one in many]
        assert [read_line(process) for process in processes] == ["ready"] * len(many)
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        yield processes


@contextmanager
def _start(
    place: Place, action: str, arguments: tuple[str, ...]
) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tests.catalog.store.child", place.kind, place.location]
    process = subprocess.Popen(
        [*command, action, *arguments],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def read_line(process: "subprocess.Popen[str]") -> str:
    """The next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
