"""`kappamask serve`: published masks over HTTP."""

from pathlib import Path
from typing import Annotated

import typer

from kappamask_backend.cli.console import note, reported_errors, start_logging
from kappamask_backend.installation import open_installation
from kappamask_backend.serving import build_application, run_server


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = 8080,
    data: Annotated[
        Path | None, typer.Option(help="Data folder, instead of that of the settings.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings only.")] = False,
) -> None:
    """Answer the STAC API: collections, items, searches, and the files of masks.

    Stop it with Ctrl-C. Behind a proxy, set KAPPAMASK_API_PUBLIC_URL or let the proxy forward host
    and scheme.
    """
    start_logging(quiet)
    with reported_errors(), open_installation(data) as installation:
        application = build_application(installation)
        run_server(application, host, port, lambda url: note(f"url: {url}", quiet), quiet)
