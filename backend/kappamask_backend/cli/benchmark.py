"""`kappamask benchmark`: what a product costs, and products to measure on."""

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from kappamask_backend.benchmark import Report, Setting, run_benchmark
from kappamask_backend.cli import network_benchmark, search_benchmark
from kappamask_backend.cli.console import (
    err,
    note,
    out,
    print_json,
    reported_errors,
    short_path,
    start_logging,
)
from kappamask_catalog.scene import DEMO_DATES, DemoScene, ProductPaths, write_product
from kappamask_udf.pixels import Level
from kappamask_udf.session import Device

FULL_PX = 10980
_FIRST_DATE = datetime.combine(DEMO_DATES[0], datetime.min.time())

app = typer.Typer(help="Measure time and memory; make products of any size.")

app.command("network")(network_benchmark.network)
app.command("search")(search_benchmark.search)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]


@app.callback(invoke_without_command=True)
def benchmark(
    context: typer.Context,
    product: Annotated[
        str | None, typer.Option(help="What to mask; by default a full-size scene is made.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Name of a model.")] = None,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of every stage.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Tiles per run.")] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write probabilities too.")
    ] = False,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Mask a product and compare with decoding, inference and writing alone, in one run."""
    if context.invoked_subcommand is not None:
        return
    start_logging(quiet)
    with reported_errors(as_json), tempfile.TemporaryDirectory(prefix="kappamask-") as folder:
        if product is None:
            product = str(_make(Path(folder), DemoScene(size_px=FULL_PX), "L1C", quiet).safe)
        results = Path(folder) / "results"
        results.mkdir()
        setting = Setting(product, str(results), model, device, threads, batch_size, probabilities)
        report = run_benchmark(setting, lambda name: note(f"measuring: {name}", quiet))
        if as_json:
            print_json(report.as_dict())
        else:
            _print_report(report)


def _print_report(report: Report) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("processor seconds", justify="right")
    table.add_column("peak memory", justify="right")
    for stage in report.stages:
        memory = f"{stage.peak_memory_bytes / 1e6:.0f} MB"
        table.add_row(stage.name, f"{stage.seconds:.1f}", f"{stage.cpu_seconds:.1f}", memory)
    out.print(table)
    inference, decoding = report.stage("inference"), report.stage("decoding")
    out.print(
        f"{inference.facts['model']} on {inference.facts['device']}, "
        f"{inference.facts['tiles']} tiles, {decoding.facts['threads']} threads"
    )
    parts = "max(decoding, inference)" if report.is_on_gpu else "decoding + inference + writing"
    out.print(f"product / ({parts}) = {report.time_ratio:.2f}", highlight=False, markup=False)
    out.print(
        f"memory of product / part of it = {report.memory_ratio:.2f}", highlight=False, markup=False
    )


@app.command("make-product")
def make_product(
    folder: Annotated[Path, typer.Argument(help="Where the product is written.")],
    size: Annotated[int, typer.Option(min=1, max=FULL_PX, help="10 m pixels per row.")] = FULL_PX,
    rows: Annotated[int | None, typer.Option(min=1, max=FULL_PX, help="Rows, if other.")] = None,
    date: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="Day of the pass.")
    ] = _FIRST_DATE,
    seed: Annotated[int, typer.Option(help="Another seed, other clouds.")] = 0,
    level: Annotated[Level, typer.Option(help="Processing level.")] = "L1C",
    baseline: Annotated[str, typer.Option(help="Processing baseline.")] = "05.11",
    missing: Annotated[
        float, typer.Option(min=0, max=0.99, help="Share outside of the swath.")
    ] = 0.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a product.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write the embedded scene as a Sentinel-2 product with known clouds, in any size."""
    start_logging(quiet)
    with reported_errors():
        scene = DemoScene(
            size_px=size, rows_px=rows, date=date.date(), seed=seed, missing_share=missing
        )
        paths = _make(folder, scene, level, quiet, baseline, overwrite)
        out.print(short_path(paths.safe), highlight=False, markup=False)
        out.print(short_path(paths.truth), highlight=False, markup=False)


def _make(
    folder: Path,
    scene: DemoScene,
    level: Level,
    quiet: bool,
    baseline: str = "05.11",
    overwrite: bool = False,
) -> ProductPaths:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=quiet) as progress:
        task = progress.add_task("making the scene", total=1.0)
        return write_product(
            scene,
            folder,
            level=level,
            baseline=baseline,
            overwrite=overwrite,
            progress=lambda step, share: progress.update(task, description=step, completed=share),
        )
