"""`kappamask models optimize`: a variant of a model in another arithmetic."""

import tempfile
from collections.abc import Sequence
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
from kappamask_backend.model_choice import choose_model
from kappamask_backend.model_variants import (
    MIN_SHARE,
    MeasuredProduct,
    Progress,
    Variant,
    VariantPrecision,
    VariantRequest,
    check_variant,
    make_variant,
)
from kappamask_catalog.scene import DEMO_DATES, DemoScene, write_product
from kappamask_udf.errors import ModelError
from kappamask_udf.models import ModelSpec
from kappamask_udf.pixels import Level

SCENE_PX = 1020
CALIBRATION_SEED, MEASURE_SEED = 0, 1
"""The same surface and the same kinds of weather under other clouds."""


def optimize(
    name: Annotated[str, typer.Argument(help="Name of a model.")],
    precision: Annotated[VariantPrecision, typer.Option(help="fp16 for GPUs, int8 for CPUs.")],
    as_name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Name; NAME-PRECISION if not given.")
    ] = None,
    calibrate: Annotated[
        list[str] | None,
        typer.Option(help="Product to take ranges from (int8); by default the embedded scene."),
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(help="Another product to compare masks on; by default the embedded scene."),
    ] = None,
    truth: Annotated[
        list[Path] | None,
        typer.Option(help="True classes (GeoTIFF) of the products to measure, in their order."),
    ] = None,
    tiles: Annotated[int, typer.Option(min=1, help="Tiles to take ranges from.")] = 32,
    force: Annotated[
        bool, typer.Option("--force", help="Register a variant that agrees too little.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a variant of a model in half floats or 8-bit numbers, and measure how far it agrees.

    It is registered beside the model if 98 % of the pixels keep their class and the Dice
    coefficient with the model's mask is at least 0.95 for every class above 0.5 % of the pixels.
    """
    start_logging(quiet)
    with (
        reported_errors(as_json),
        tempfile.TemporaryDirectory(prefix="kappamask-") as folder,
        step_progress(quiet) as progress,
    ):
        spec = choose_model(name, "L1C").spec
        variant_name = as_name or f"{spec.name}-{precision}"
        check_variant(spec, variant_name)
        needs_scene = precision == "int8" and not calibrate
        scenes = Path(folder)
        request = VariantRequest(
            spec=spec,
            precision=precision,
            name=variant_name,
            calibrate=tuple(calibrate or ())
            or (_scene_products(scenes, spec.level, progress) if needs_scene else ()),
            measure=_measured(measure, truth) or _scene_measured(scenes, spec.level, progress),
            n_tiles=tiles,
            is_forced=force,
        )
        variant = make_variant(request, progress)
    if as_json:
        print_json(_as_dict(variant))
    else:
        _print(spec, variant)


def _measured(products: list[str] | None, truths: list[Path] | None) -> tuple[MeasuredProduct, ...]:
    if truths and len(truths) != len(products or ()):
        raise ModelError(
            f"{len(truths)} --truth for {len(products or ())} --measure; give one for each, in "
            "order"
        )
    given: Sequence[Path | None] = truths or [None] * len(products or ())
    return tuple(
        MeasuredProduct(product, true) for product, true in zip(products or (), given, strict=True)
    )


def _scene_products(folder: Path, level: Level, progress: Progress) -> tuple[str, ...]:
    return tuple(
        one.location
        for one in _write_scenes(folder / "calibrate", level, CALIBRATION_SEED, progress)
    )


def _scene_measured(folder: Path, level: Level, progress: Progress) -> tuple[MeasuredProduct, ...]:
    return _write_scenes(folder / "measure", level, MEASURE_SEED, progress)


def _write_scenes(
    folder: Path, level: Level, seed: int, progress: Progress
) -> tuple[MeasuredProduct, ...]:
    """The embedded scene in all its kinds of weather."""
    written = []
    for index, date in enumerate(DEMO_DATES):
        progress("making scenes", index / len(DEMO_DATES))
        scene = DemoScene(size_px=SCENE_PX, date=date, seed=seed)
        paths = write_product(scene, folder, level=level)
        written.append(MeasuredProduct(str(paths.safe), paths.truth))
    return tuple(written)


def _print(model: ModelSpec, variant: Variant) -> None:
    agreement = variant.agreement
    decisive, truth = agreement.dice_of_model(MIN_SHARE), agreement.dice_of_truth()
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    headings = ("Dice with the model", "Dice with the truth, model", "variant")
    for heading in headings if truth else headings[:1]:
        table.add_column(heading, justify="right")
    for mask_class, dice in agreement.dice_of_model().items():
        rare = "" if mask_class in decisive else " (rare)"
        cells = [f"{dice:.3f}{rare}"]
        cells += [_number(value) for value in truth.get(mask_class, (None, None))]
        table.add_row(mask_class.style.title, *(cells if truth else cells[:1]))
    out.print(table)
    spec = variant.spec
    out.print(f"{100 * agreement.argmax:.2f} % of the pixels have the same class", highlight=False)
    before, after = variant.seconds
    out.print(
        f"{before:.3f} s per tile before, {after:.3f} s after ({before / after:.2f} times as fast) "
        "on this CPU",
        highlight=False,
    )
    if model.size_bytes and spec.size_bytes:
        out.print(
            f"{model.size_bytes / 1e6:.1f} MB before, {spec.size_bytes / 1e6:.1f} MB after",
            highlight=False,
        )
    out.print(f"registered as {spec.name}", highlight=False)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _as_dict(variant: Variant) -> dict[str, object]:
    spec = variant.spec
    return {
        "name": spec.name,
        "precision": spec.precision,
        "sha256": spec.sha256,
        "size_bytes": spec.size_bytes,
        "seconds_per_tile": {"model": variant.seconds[0], "variant": variant.seconds[1]},
        "agreement": spec.item["properties"]["kappamask:agreement"],
    }
