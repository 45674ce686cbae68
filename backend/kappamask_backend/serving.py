"""The web application of this installation, and the server that runs it."""

import gc
import hmac
import os
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError

from kappamask_backend.installation import Installation, describe_settings_error
from kappamask_backend.model_choice import open_registry
from kappamask_backend.settings import ServeSettings
from kappamask_catalog.store.base import ANYBODY, OPERATOR, Caller
from kappamask_udf.errors import KappamaskError, MissingExtraError, OutputError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

SIGNING_KEY_FILE = "link-key"
_SECRET_BYTES = 32
_BACKLOG = 128
"""Connections that may wait to be taken."""


def build_application(installation: Installation) -> "FastAPI":
    """The STAC API over this installation's store and storage.

    Raises:
        KappamaskError: a setting is wrong.
        MissingExtraError: a package is not installed.
    """
    try:
        from kappamask_catalog.stac_api import StacApiSettings, StorageLinks, create_stac_app
    except ImportError as error:
        raise MissingExtraError(
            "serving needs stac-fastapi; install 'openeo-kappamask[catalog]'"
        ) from error
    try:
        settings, serving = StacApiSettings(), ServeSettings()
    except ValidationError as error:
        raise KappamaskError(describe_settings_error(error)) from error
    if settings.secret is None:
        secret = SecretStr(_own_secret(installation.data_folder))
        settings = settings.model_copy(update={"secret": secret})
    return create_stac_app(
        installation.store,
        StorageLinks(installation.storage, settings),
        settings,
        files=installation.storage,
        identify=_identify(serving.operator_token),
        models=_model_items,
    )


def _identify(token: SecretStr | None) -> Callable[["Request"], Caller]:
    """Who asks: the operator with the token of the settings, else anybody."""

    def identify(request: "Request") -> Caller:
        given = request.headers.get("authorization", "")
        if token is None or not given.lower().startswith("bearer "):
            return ANYBODY
        expected = token.get_secret_value().encode()
        is_operator = hmac.compare_digest(given[len("bearer ") :].strip().encode(), expected)
        return OPERATOR if is_operator else ANYBODY

    return identify


def _model_items() -> Iterator[Mapping[str, Any]]:
    return (model.spec.item for model in open_registry())


def _own_secret(folder: Path) -> str:
    """The secret that signs links of this installation, made at first need."""
    path = folder / SIGNING_KEY_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".key-") as aside:
                aside.write(secrets.token_hex(_SECRET_BYTES))
                aside.flush()
                # Whole or not there, and of two that start at once both take the first one's.
                with suppress(FileExistsError):
                    os.link(aside.name, path)
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def run_server(
    application: "FastAPI",
    host: str,
    port: int,
    announce: Callable[[str], None],
    is_quiet: bool = False,
) -> None:
    """Serve until interrupted.

    Args:
        application: what answers.
        host: address to listen on.
        port: 0 for any free one.
        announce: called with the URL as soon as connections are taken.
        is_quiet: log no requests.

    Raises:
        KappamaskError: the address cannot be listened on.
    """
    import uvicorn

    listener = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    announce(f"http://{shown}:{listener.getsockname()[1]}")
    config = uvicorn.Config(
        application,
        log_level="warning" if is_quiet else "info",
        access_log=not is_quiet,
        # Addresses behind proxies are the application's own business.
        proxy_headers=False,
    )
    # What was imported stays for good; without this the collector looks through it with every
    # page of items, a third of the page's time.
    gc.collect()
    gc.freeze()
    with listener:
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        # With its protocol: asyncio sends small answers at once only where it knows that this is
        # TCP, else each may wait 40 ms for the client's acknowledgement.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        family, kind, protocol, _, address = found[0]
        with ExitStack() as stack:
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
            stack.pop_all()
        return listener
    except OSError as error:
        raise KappamaskError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port or "
            "--host"
        ) from error
