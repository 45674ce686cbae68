"""The command `kappamask`."""

import typer

from kappamask_backend.cli import benchmark, catalog, demo, mask, models, publish, serve
from kappamask_backend.memory import keep_memory_flat

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Cloud masks for Sentinel-2 by tiled ONNX inference.",
)
app.command("mask")(mask.mask)
app.command("demo")(demo.demo)
app.command("publish")(publish.publish)
app.command("serve")(serve.serve)
app.add_typer(catalog.app, name="catalog")
app.add_typer(models.app, name="models")
app.add_typer(benchmark.app, name="benchmark")


def main() -> None:
    """Run the command line."""
    keep_memory_flat()
    app()
