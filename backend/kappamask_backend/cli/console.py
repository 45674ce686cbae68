"""What the commands share with the terminal: messages, progress, errors and signals.

Results go to standard output, everything else to standard error, so that `--json` can be piped.
"""

import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from kappamask_udf.engine import Progress as ProgressCallback
from kappamask_udf.errors import KappamaskError

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells count."""

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


def start_logging(quiet: bool) -> None:
    """Send the log to standard error: warnings, and notes unless `quiet`."""
    handler = RichHandler(console=err, show_time=False, show_path=False, markup=False)
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO,
        handlers=[handler],
        format="%(message)s",
        force=True,
    )
    # Libraries speak of their own inner life; what users need is translated at the edges.
    for name in ("rasterio", "rasterio._env", "fsspec", "stactools", "PIL", "urllib3", "httpx"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def reported_errors(as_json: bool = False) -> Iterator[None]:
    """Turn what users can understand into one line and exit code 1, an interrupt into 130.

    With `as_json` the error is printed as a JSON object on standard output too.
    """
    signal.signal(signal.SIGTERM, _raise_interrupt)
    try:
        yield
    except KappamaskError as error:
        _fail(" ".join(str(error).split()), type(error).__name__, as_json)
    except KeyboardInterrupt:
        err.print("interrupted; nothing was written", style="red")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _fail(message: str, kind: str, as_json: bool) -> None:
    err.print(Text.assemble(("error: ", "bold red"), message))
    if as_json:
        print_json({"error": {"type": kind, "message": message}})
    raise typer.Exit(EXIT_ERROR)


def _raise_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def print_json(document: Any) -> None:
    """Print a JSON document on standard output, whatever the terminal's width."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def note(message: str, quiet: bool) -> None:
    """One line on standard error about what is being done."""
    if not quiet:
        err.print(message, highlight=False, markup=False)


class _TilesPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} tiles/s", style="progress.data.speed")


@contextmanager
def tile_progress(title: str, quiet: bool) -> Iterator[ProgressCallback | None]:
    """A progress bar with tiles per second and time left; `None` if it is not wanted."""
    if quiet:
        yield None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tiles"),
        _TilesPerSecond(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=False) as progress:
        task = progress.add_task(title, total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield advance


@contextmanager
def step_progress(quiet: bool) -> Iterator[Callable[[str, float], None]]:
    """A progress bar for steps that are told with the share that is done, 0-1."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=quiet) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda step, share: bar.update(task, description=step, completed=share)


def short_path(path: Path) -> str:
    """The path as the user would type it: relative where it lies below the working folder."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
