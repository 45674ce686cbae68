"""`kappamask mask`: a product in, a folder with its mask out."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from kappamask_backend.cli.console import (
    note,
    out,
    print_json,
    reported_errors,
    short_path,
    start_logging,
    tile_progress,
)
from kappamask_backend.model_choice import choose_model, engine_folder
from kappamask_catalog.masking import RESULT_RESOLUTIONS_M, MaskOptions, prepare_mask
from kappamask_catalog.results import MaskResult, write_mask
from kappamask_catalog.sources import open_product
from kappamask_catalog.sources.aoi import read_aoi
from kappamask_udf.classes import MaskClass
from kappamask_udf.models import choose_variant
from kappamask_udf.session import Device


def _check_resolution(value: int) -> int:
    if value not in RESULT_RESOLUTIONS_M:
        raise typer.BadParameter(f"must be one of 10, 20, 60, got {value}")
    return value


def mask(
    product: Annotated[
        str,
        typer.Argument(
            metavar="PRODUCT",
            help="A .SAFE folder or .SAFE.zip, its MTD_MSIL1C.xml or MTD_MSIL2A.xml, or a STAC "
            "item (path or URL).",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the result; by default PRODUCT_ID_MODEL."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Name (see `kappamask models list`) or model item."),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(help="One of the model's ways to treat a product, such as `original`."),
    ] = None,
    tiling: Annotated[
        str | None, typer.Option(help="One of the model's other tilings, such as `grid-22`.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = "auto",
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write a probability band per class too.")
    ] = False,
    aoi: Annotated[
        str | None,
        typer.Option(help="west,south,east,north in degrees, or a GeoJSON file with polygons."),
    ] = None,
    dilate: Annotated[
        float,
        typer.Option(metavar="METRES", min=0, help="Grow shadow and clouds by this radius."),
    ] = 0.0,
    resolution: Annotated[
        int,
        typer.Option(
            metavar="10|20|60",
            callback=_check_resolution,
            help="Metres per pixel of the result, by mode.",
        ),
    ] = 10,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Tiles per run; by device if not given.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads; all processors if not given.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a result.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make the cloud mask of a Sentinel-2 product, Level-1C or Level-2A."""
    start_logging(quiet)
    with reported_errors(as_json):
        options = MaskOptions(
            device=device, with_probabilities=probabilities,
            aoi=None if aoi is None else read_aoi(aoi),
            dilation_m=dilate, resolution_m=resolution, batch_size=batch_size,
            threads=threads, overwrite=overwrite, engine_cache=engine_folder(),
        )  # fmt: skip
        with open_product(product) as opened:
            registered = choose_model(model, opened.level)
            spec = choose_variant(registered.spec, profile, tiling)
            why = f", the default for {opened.level}" if model is None else ""
            note(f"{opened.id}: masking with {spec.run_name} {spec.version}{why}", quiet)
            job = prepare_mask(opened, spec, options)
            with tile_progress("masking", quiet) as progress:
                result = write_mask(job, output, progress)
        if as_json:
            print_json(result.as_dict())
        else:
            print_result(result, quiet)


def print_result(result: MaskResult, quiet: bool) -> None:
    """Print the files, and unless `quiet` a table of classes."""
    if not quiet:
        out.print(class_table(result))
        out.print(
            f"{result.seconds:.1f} s on {result.device}, cloud cover "
            f"{_percent(result.cloud_cover)} (classes 3 and 4 over valid pixels)"
        )
    for path in result.files:
        out.print(short_path(path), highlight=False, markup=False)


def class_table(result: MaskResult) -> Table:
    """Area and share per class."""
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    table.add_column("area km2", justify="right")
    table.add_column("share", justify="right")
    total = sum(result.class_counts.values())
    for mask_class in MaskClass:
        count = result.class_counts[mask_class]
        if mask_class in result.not_predicted:
            table.add_row(f"{mask_class.value} {mask_class.style.title}", "not predicted", "")
        elif count or mask_class is not MaskClass.UNDEFINED:
            table.add_row(
                f"{mask_class.value} {mask_class.style.title}",
                f"{count / 1e4:.2f}",
                _percent(100 * count / total),
            )
    return table


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} %"
