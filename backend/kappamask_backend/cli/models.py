"""`kappamask models`: which networks there are, what they need, whether their files are whole."""

from collections.abc import Iterable
from typing import Annotated

import numpy as np
import typer
from rich.table import Table
from rich.text import Text

from kappamask_backend.cli import model_import, optimize
from kappamask_backend.cli.console import out, print_json, reported_errors, start_logging
from kappamask_backend.model_choice import choose_model, engine_folder, open_registry
from kappamask_udf.errors import KappamaskError
from kappamask_udf.models import ModelSpec, RegisteredModel, verify_checksum
from kappamask_udf.session import Device, open_session

app = typer.Typer(no_args_is_help=True, help="The networks that can make masks.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="Name of a model, or the path of a model item (.json).")]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List all models: built in, your own, and those of other packages."""
    with reported_errors(as_json):
        registry = open_registry()
        defaults = {level: registry.default(level).spec.name for level in ("L1C", "L2A")}
        if as_json:
            print_json([_summary(model, defaults) for model in registry])
            return
        table = Table(box=None, pad_edge=False)
        for heading in ("name", "level", "grid", "bands", "licence", "from", "default"):
            table.add_column(heading, no_wrap=True)
        for model in registry:
            spec = model.spec
            table.add_row(
                spec.name if model.is_installed else f"{spec.name} (file missing)",
                spec.level,
                f"{spec.resolution_m} m",
                str(len(spec.bands)),
                spec.license,
                model.origin,
                "yes" if spec.name == defaults[spec.level] else "",
            )
        out.print(table)


def _summary(model: RegisteredModel, defaults: dict[str, str]) -> dict[str, object]:
    spec = model.spec
    return {
        "name": spec.name,
        "version": spec.version,
        "title": spec.title,
        "level": spec.level,
        "resolution_m": spec.resolution_m,
        "bands": list(spec.bands),
        "classes": [mask_class.stac_name for mask_class in spec.classes],
        "not_predicted": [mask_class.stac_name for mask_class in spec.not_predicted],
        "license": spec.license,
        "origin": model.origin,
        "is_installed": model.is_installed,
        "is_default": spec.name == defaults[spec.level],
    }


@app.command("show")
def show_model(name: Name, as_json: AsJson = False) -> None:
    """Show what a model needs and gives; with --json its whole STAC MLM item."""
    with reported_errors(as_json):
        model = choose_model(name, "L1C")
        if as_json:
            print_json(model.spec.item)
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for label, value in _facts(model):
            table.add_row(label, Text(value))
        out.print(table)


def _facts(model: RegisteredModel) -> Iterable[tuple[str, str]]:
    spec, tiling = model.spec, model.spec.tiling
    yield "name", f"{spec.name} {spec.version}"
    yield "title", spec.title
    yield "description", str(spec.item["properties"].get("description", ""))
    yield "for", f"Level-{spec.level[1:]} on a {spec.resolution_m} m grid"
    yield "bands", ", ".join(spec.bands)
    yield "input", f"{spec.input_unit}, clipped to {spec.clip[0]}..{spec.clip[1]}"
    yield "classes", ", ".join(mask_class.style.title for mask_class in spec.classes)
    not_predicted = ", ".join(mask_class.style.title for mask_class in spec.not_predicted)
    yield "not predicted", not_predicted or "none"
    yield (
        "tiles",
        f"{tiling.tile_px} x {tiling.tile_px} px every {tiling.stride_px} px, {tiling.stitch}",
    )
    for kind in ("profile", "tiling"):
        for name, entry in spec.item["properties"].get(f"kappamask:{kind}s", {}).items():
            default = ", the default" if name == spec.profile else ""
            yield f"{kind} {name}", f"{entry.get('description', '')}{default}"
    yield "precision", spec.precision
    conversion = spec.item["properties"].get("kappamask:conversion")
    if conversion:
        yield (
            "conversion",
            f"probabilities within {conversion['max_difference']:.1e} of the original, "
            f"{100 * conversion['argmax_agreement']:.3f} % of pixels in the same class",
        )
    yield "licence", spec.license
    yield "file", f"{spec.href} ({'there' if model.is_installed else 'missing'})"
    yield "sha256", spec.sha256
    for link in spec.item.get("links", ()):
        if link.get("rel") == "cite-as":
            yield "cite as", str(link.get("title") or link["href"])


@app.command("verify")
def verify_models(
    names: Annotated[list[str] | None, typer.Argument(help="Models; all by default.")] = None,
    device: Annotated[Device, typer.Option(help="Where to run the trial tile.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Check files against their checksums, open them and run one tile; exit code 1 on a failure."""
    start_logging(quiet=True)
    with reported_errors(as_json):
        models = [choose_model(name, "L1C") for name in names] if names else list(open_registry())
        results = [_verify(model, device) for model in models]
        if as_json:
            print_json([{"name": name, "error": error} for name, error in results])
        else:
            for name, error in results:
                line = Text(f"{name}: {error or 'ok'}", style="red" if error else "green")
                out.print(line)
        if any(error for _, error in results):
            raise typer.Exit(1)


def _verify(model: RegisteredModel, device: Device) -> tuple[str, str | None]:
    spec = model.spec
    try:
        verify_checksum(spec, model.path())
        _run_trial_tile(spec, device)
    except KappamaskError as error:
        return spec.name, str(error)
    return spec.name, None


def _run_trial_tile(spec: ModelSpec, device: Device) -> None:
    tile = np.zeros((1, len(spec.bands), spec.tiling.tile_px, spec.tiling.tile_px), np.float32)
    open_session(spec, device, engine_cache=engine_folder()).predict(tile)


app.command("fetch")(model_import.fetch)
app.command("import")(model_import.import_model)
app.command("optimize")(optimize.optimize)
