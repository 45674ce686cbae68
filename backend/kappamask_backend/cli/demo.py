"""`kappamask demo`: a scene with known clouds, its mask, and how well they agree."""

import shlex
import shutil
import sys
from dataclasses import dataclass
from datetime import datetime
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
    step_progress,
    tile_progress,
)
from kappamask_backend.demo_catalog import DemoCatalog, publish_demo_dates
from kappamask_backend.model_choice import choose_model, engine_folder
from kappamask_catalog.masking import MaskOptions, prepare_mask
from kappamask_catalog.publish.picture import write_comparison
from kappamask_catalog.results import MASK_FILE, MaskResult, write_mask
from kappamask_catalog.scene import DEMO_DATES, DemoScene, write_product
from kappamask_catalog.scores import Agreement, compare_masks, dice_rows
from kappamask_catalog.sources import open_product
from kappamask_udf.session import Device

PICTURE_FILE = "comparison.png"
CATALOG_FOLDER = "catalog"
_DEMO_DATE = datetime.combine(DEMO_DATES[0], datetime.min.time())


@dataclass(frozen=True)
class DemoResult:
    """What the demo made."""

    result: MaskResult
    agreement: Agreement
    picture: Path
    product: Path
    truth: Path
    catalog: DemoCatalog


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the product and its mask.")
    ] = Path("demo"),
    date: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="Another day, other weather.")
    ] = _DEMO_DATE,
    size: Annotated[int, typer.Option(min=60, max=10980, help="10 m pixels per side.")] = 1020,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Name of a model.")] = None,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier demo.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Simulate clouds over a real surface, mask them and compare with the truth.

    The surface is a real, cloud-free Sentinel-2 scene; the clouds are simulated, so that the
    true class of every pixel is known. The numbers say that everything works, not how good a
    model is on real clouds.
    """
    start_logging(quiet)
    with reported_errors(as_json):
        scene = DemoScene(size_px=size, date=date.date())
        made = _run(scene, output, model, device, overwrite, quiet)
        if as_json:
            print_json(_as_dict(made))
        else:
            _print(made)


def _run(
    scene: DemoScene, output: Path, model: str | None, device: Device, overwrite: bool, quiet: bool
) -> DemoResult:
    note(f"making a scene of {scene.size_px} x {scene.size_px} px, {scene.date}", quiet)
    paths = write_product(scene, output, overwrite=overwrite)
    with open_product(str(paths.safe)) as product:
        spec = choose_model(model, product.level).spec
        why = f", the default for {product.level}" if model is None else ""
        note(f"masking {product.id} with {spec.name} {spec.version}{why}", quiet)
        options = MaskOptions(device=device, overwrite=overwrite, engine_cache=engine_folder())
        job = prepare_mask(product, spec, options)
        with tile_progress("masking", quiet) as progress:
            result = write_mask(job, output / "mask", progress)
        agreement = compare_masks(result.folder / MASK_FILE, paths.truth)
        picture = output / PICTURE_FILE
        write_comparison(product, result.folder / MASK_FILE, paths.truth, picture)
    with step_progress(quiet) as step:
        published = publish_demo_dates(
            scene, paths.safe, output / CATALOG_FOLDER, model, options, step
        )
    return DemoResult(result, agreement, picture, paths.safe, paths.truth, published)


def _print(made: DemoResult) -> None:
    result, agreement = made.result, made.agreement
    dice = dice_rows(agreement, result.not_predicted)
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    for heading in ("Dice", "area km2", "true area km2"):
        table.add_column(heading, justify="right")
    for row in dice:
        table.add_row(
            row.title, row.dice_text, f"{row.predicted_px / 1e4:.2f}", f"{row.true_px / 1e4:.2f}"
        )
    out.print(table)
    out.print(
        f"model {result.model}, device {result.device}, {result.seconds:.1f} s", highlight=False
    )
    for path in (*result.files, made.picture, made.product, made.truth):
        out.print(short_path(path), highlight=False, markup=False)
    _print_catalog(made.catalog)


def _print_catalog(catalog: DemoCatalog) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("acquired", "cloud %", "mask"):
        table.add_column(heading, overflow="fold")
    for item in catalog.items:
        properties = item["properties"]
        cover = properties.get("eo:cloud_cover")
        table.add_row(
            str(properties["datetime"])[:10], "" if cover is None else f"{cover:.1f}", item["id"]
        )
    out.print(f"\n{len(catalog.items)} masks published, the least cloudy first")
    out.print(table)
    west, south, east, north = catalog.items[0]["bbox"]
    serve = shlex.join([_program(), "serve", "--data", short_path(catalog.folder)])
    out.print(
        f"""
Serve them:
  {serve}
Search them, in another terminal:
  curl 'http://127.0.0.1:8080/search?bbox={west},{south},{east},{north}&sortby=eo:cloud_cover'
or from Python, with pystac-client:
  Client.open("http://127.0.0.1:8080").search(filter="eo:cloud_cover < 20").item_collection()""",
        highlight=False, markup=False,
    )  # fmt: skip


def _program() -> str:
    """This command as the user can type it."""
    return "kappamask" if shutil.which("kappamask") else short_path(Path(sys.argv[0]))


def _as_dict(made: DemoResult) -> dict[str, object]:
    return {
        **made.result.as_dict(),
        "dice": {
            row.title: row.dice for row in dice_rows(made.agreement, made.result.not_predicted)
        },
        "picture": str(made.picture),
        "product": str(made.product),
        "truth": str(made.truth),
        "catalog": str(made.catalog.folder),
        "published": [item["id"] for item in made.catalog.items],
    }
