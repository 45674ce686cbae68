"""`kappamask publish`: products to published masks."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from kappamask_backend.cli.console import (
    EXIT_INTERRUPTED,
    err,
    out,
    print_json,
    reported_errors,
    start_logging,
)
from kappamask_backend.cli.publish_sources import SourceChoice, find_candidates
from kappamask_backend.installation import open_installation
from kappamask_backend.model_choice import engine_folder
from kappamask_backend.publish_targets import Targets, Wish
from kappamask_catalog.masking import MaskOptions
from kappamask_catalog.publishing.publisher import Outcome, Publisher, Status
from kappamask_catalog.publishing.run import PublishRun, RunReport, RunSetting
from kappamask_catalog.publishing.work import work_folder
from kappamask_udf.errors import OutputError
from kappamask_udf.session import Device

EXIT_FAILED = 1
EXIT_CLAIMED = 3
"""Nothing failed, but somebody else still makes some of the masks."""


def publish(
    products: Annotated[
        list[str] | None,
        typer.Argument(help="Products: SAFE folders or zips, or STAC items (path or URL)."),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Id of a source of products, instead of naming them.")
    ] = None,
    bbox: Annotated[
        str | None, typer.Option(help="Of a source: west,south,east,north in degrees.")
    ] = None,
    datetime: Annotated[
        str | None, typer.Option(help="Of a source: a time or START/END; .. for an open end.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Of a source: products at most.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Of a folder: wait for new products until stopped.")
    ] = False,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Name of a model; by level if not given.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = "auto",
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Publish probabilities too.")
    ] = False,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Products at a time.")] = 1,
    attempts: Annotated[int, typer.Option(min=1, help="Tries for each product.")] = 3,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads for each product.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Tiles per run.")] = None,
    claim_seconds: Annotated[
        float | None, typer.Option(min=2, help="How long a silent process keeps its product.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Make masks again that are published.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Leave products alone that others make right now.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write what became of every product to a JSON file.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Mask products that have no mask yet by this model and version, and publish the masks.

    Safe to run again and from many processes at once: each product is made once. Exit code 1 if a
    product failed, 3 if nothing failed but others still make some.
    """
    start_logging(quiet)
    options = MaskOptions(
        device=device, with_probabilities=probabilities, batch_size=batch_size, threads=threads,
        overwrite=True, engine_cache=engine_folder(),
    )  # fmt: skip
    wish = Wish(model, options, claim_seconds, dry_run, force)
    choice = SourceChoice(tuple(products or ()), source, bbox, datetime, limit, watch)
    setting = RunSetting(parallel, attempts, waits_for_others=not no_wait)
    with reported_errors(as_json):
        done = _publish(wish, choice, setting, quiet)
        if report is not None:
            _write_report(report, done)
        if as_json:
            print_json(done.as_dict())
        else:
            _print(done)
    _exit(done)


def _publish(wish: Wish, choice: SourceChoice, setting: RunSetting, quiet: bool) -> RunReport:
    stop = threading.Event()
    with (
        open_installation() as installation,
        work_folder(installation.work_folder) as work,
        _progress(quiet) as (show_tiles, show_outcome),
    ):
        publisher = Publisher(Targets(installation, wish, work), stop, show_tiles)
        run = PublishRun(publisher, setting, show_outcome)
        return run.run(find_candidates(choice, installation.data_folder, stop))


@contextmanager
def _progress(
    quiet: bool,
) -> Iterator[tuple[Callable[[str, int, int], None] | None, Callable[[Outcome], None] | None]]:
    if quiet:
        yield None, None
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True) as bar:
        tasks: dict[str, int] = {}

        def show_tiles(product: str, done: int, total: int) -> None:
            if product not in tasks:
                tasks[product] = bar.add_task(product, total=total)
            bar.update(tasks[product], completed=done, total=total)  # type: ignore[arg-type]

        def show_outcome(outcome: Outcome) -> None:
            if outcome.product in tasks:
                bar.remove_task(tasks.pop(outcome.product))  # type: ignore[arg-type]
            reason = f": {outcome.reason}" if outcome.reason else ""
            seconds = f" in {outcome.seconds:.1f} s" if outcome.seconds else ""
            bar.console.print(
                f"{outcome.status.value}{seconds}: {outcome.product}{reason}",
                highlight=False, markup=False,
            )  # fmt: skip

        yield show_tiles, show_outcome


def _write_report(path: Path, report: RunReport) -> None:
    try:
        path.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write the report {path}: {error.strerror or error}") from error


def _print(report: RunReport) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right")
    table.add_column()
    for status, count in report.counts.items():
        table.add_row(str(count), status.value)
    if report.counts:
        out.print(table)
    else:
        out.print("no products found")
    for failure in report.failures:
        out.print(
            f"failed after {failure.attempts} of tries: {failure.product}: {failure.reason}",
            highlight=False, markup=False,
        )  # fmt: skip
    if report.is_interrupted:
        out.print("interrupted; what was published stays, the rest can be published later")


def _exit(report: RunReport) -> None:
    if report.is_interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if report.failures:
        raise typer.Exit(EXIT_FAILED)
    if Status.CLAIMED in report.counts:
        raise typer.Exit(EXIT_CLAIMED)
