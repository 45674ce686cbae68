"""`kappamask benchmark network`: one network beside other ways to run it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from kappamask_backend.cli.console import err, out, print_json, reported_errors, start_logging
from kappamask_backend.model_choice import choose_model
from kappamask_backend.network_benchmark import (
    NetworkReport,
    NetworkSetting,
    Original,
    run_network_benchmark,
)
from kappamask_udf.devices import default_threads
from kappamask_udf.errors import KappamaskError


def network(
    model: Annotated[str | None, typer.Option("--model", "-m", help="Name of a model.")] = None,
    other: Annotated[
        list[str] | None, typer.Option(help="Another model to run beside it, such as a variant.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Keras weights, to run the network layer by layer too.")
    ] = None,
    original_python: Annotated[
        str | None, typer.Option(help="Python of an environment for km_predict (TensorFlow).")
    ] = None,
    original_checkout: Annotated[
        Path | None, typer.Option(help="Folder with the sources of km_predict.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of each contender.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each contender.")] = 5,
    tiles: Annotated[int, typer.Option(min=2, help="Tiles per turn.")] = 4,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Time a network per tile on the CPU, against a matrix product and other ways to run it."""
    start_logging(quiet)
    with reported_errors(as_json):
        spec = choose_model(model, "L1C").spec
        setting = NetworkSetting(
            model=model or spec.name,
            threads=threads or default_threads(),
            rounds=rounds,
            tiles=tiles,
            others=tuple(other or ()),
            weights=weights,
            original=_read_original(original_python, original_checkout, weights),
        )
        tile_gflop = spec.item["properties"].get("kappamask:tile_gflop")
        columns = (
            TextColumn("measuring"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=err, disable=quiet) as progress:
            task = progress.add_task("")
            report = run_network_benchmark(
                setting,
                tile_gflop,
                lambda done, total: progress.update(task, completed=done, total=total),
            )
        if as_json:
            print_json(report.as_dict())
        else:
            _print(report)


def _read_original(
    python: str | None, checkout: Path | None, weights: Path | None
) -> Original | None:
    if python is None and checkout is None:
        return None
    if python is None or checkout is None or weights is None:
        raise KappamaskError(
            "the original needs all of --original-python, --original-checkout and --weights"
        )
    return Original(python, checkout, weights)


def _print(report: NetworkReport) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for heading in ("s per tile", "processor s", "times ours", "GFLOP/s", "peak memory"):
        table.add_column(heading, justify="right")
    for row in report.rows:
        table.add_row(
            row.name,
            f"{row.seconds:.3f}",
            f"{row.cpu_seconds:.3f}",
            f"{row.ratio:.2f}",
            "" if row.gflops is None else f"{row.gflops:.1f}",
            f"{row.peak_memory_bytes / 1e6:.0f} MB",
        )
    out.print(table)
    if report.fraction_of_peak is not None:
        out.print(
            f"network / matrix product = {100 * report.fraction_of_peak:.0f} % of the operations "
            "per second",
            highlight=False,
        )
