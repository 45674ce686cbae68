"""`kappamask benchmark search`: searches a second, beside stac-fastapi-pgstac."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from kappamask_backend.cli.console import (
    out,
    print_json,
    reported_errors,
    start_logging,
    step_progress,
)
from kappamask_backend.search_benchmark import SearchSetting, as_dicts, run_search_benchmark


def search(
    items: Annotated[int, typer.Option(min=100, help="Items in every store.")] = 100_000,
    postgres: Annotated[
        str | None,
        typer.Option(help="Address of an empty, migrated database, to compare with pgstac."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each server.")] = 5,
    searches: Annotated[int, typer.Option(min=1, help="Searches per turn.")] = 40,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Search for boxes and times over HTTP, in a store on SQLite and in pgstac."""
    start_logging(quiet)
    with (
        reported_errors(as_json),
        tempfile.TemporaryDirectory(prefix="kappamask-") as folder,
        step_progress(quiet) as progress,
    ):
        setting = SearchSetting(items, Path(folder), postgres, rounds, searches)
        rows = run_search_benchmark(setting, progress)
    if as_json:
        print_json(as_dicts(rows))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("server", "searches per second", "times the first", "items found"):
        table.add_column(heading, justify="left" if heading == "server" else "right")
    for row in rows:
        table.add_row(row.name, f"{row.per_second:.1f}", f"{row.ratio:.2f}", str(row.returned))
    out.print(table)
