"""`kappamask models fetch` and `import`: KappaMaskv2's own network."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from kappamask_backend.cli.console import (
    err,
    note,
    out,
    print_json,
    reported_errors,
    short_path,
    start_logging,
)
from kappamask_backend.download import Progress as DownloadProgress
from kappamask_backend.model_choice import check_user_name, open_registry
from kappamask_backend.model_import import (
    PUBLISHED,
    ImportedModel,
    drop_download,
    fetch_weights,
    import_weights,
)
from kappamask_udf.models import locate

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def fetch(
    name: Annotated[str, typer.Argument(help=f"{' or '.join(PUBLISHED)}.")],
    url: Annotated[
        str | None, typer.Option(help="Another address of the same weights (http, https, file).")
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="Checksum that the weights must have.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Fetch again what is registered already.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Download KappaMaskv2's published weights, convert them and register the network.

    A download that broke off is resumed. The proxy is that of the environment, the mirror that of
    KAPPAMASK_MODEL_MIRROR.
    """
    start_logging(quiet)
    with reported_errors(as_json):
        if not overwrite and name in PUBLISHED and name in open_registry().models:
            note(f"{name} is registered already; --overwrite fetches it again", quiet)
            return
        with _download_progress(f"fetching {name}", quiet) as progress:
            path, source = fetch_weights(name, url=url, sha256=sha256, progress=progress)
        try:
            imported = _convert(path, name, source, quiet)
        finally:
            drop_download(path)
        _report(imported, as_json)


def import_model(
    file: Annotated[Path, typer.Argument(help="Weights in HDF5, as Keras 2 writes them.")],
    name: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="NAME",
            help="Name of the model; kappamask-v2-l1c and -l2a are defaults.",
        ),
    ],
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Convert weights of KappaMaskv2 and register the network. No TensorFlow is needed."""
    start_logging(quiet)
    with reported_errors(as_json):
        check_user_name(name)
        _report(_convert(file, name, None, quiet), as_json)


def _convert(path: Path, name: str, url: str | None, quiet: bool) -> ImportedModel:
    if quiet:
        return import_weights(path, name, url)
    with err.status(f"converting {short_path(path)} and comparing with the original"):
        return import_weights(path, name, url)


@contextmanager
def _download_progress(title: str, quiet: bool) -> Iterator[DownloadProgress | None]:
    if quiet:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _report(imported: ImportedModel, as_json: bool) -> None:
    spec = imported.spec
    is_default = open_registry().default(spec.level).spec.name == spec.name
    if as_json:
        print_json(
            {
                "name": spec.name,
                "level": spec.level,
                "is_default": is_default,
                "file": str(locate(spec)),
                "sha256": spec.sha256,
                "source_sha256": imported.source_sha256,
                "max_difference": imported.max_difference,
                "argmax_agreement": imported.argmax_agreement,
            }
        )
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows = (
        ("name", f"{spec.name} {spec.version}"),
        ("for", f"Level-{spec.level[1:]}{', now the default' if is_default else ''}"),
        ("file", short_path(locate(spec))),
        ("sha256", spec.sha256),
        ("sha256 of the weights", imported.source_sha256),
        ("largest difference of a probability", f"{imported.max_difference:.1e}"),
        ("pixels of the same class", f"{100 * imported.argmax_agreement:.3f} %"),
    )
    for label, value in rows:
        table.add_row(label, Text(value))
    out.print(table)
