"""What happens to every request: where the service is seen, CORS, and HEAD."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPMethod
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

EXPOSED_HEADERS = (
    "Accept-Ranges, Content-Encoding, Content-Length, Content-Range, ETag, Link, Location, "
    "OpenEO-Costs, OpenEO-Identifier, Retry-After"
)
"""What scripts in browsers may read. Source: openEO API 1.2, CORS; ranges for GeoTIFF readers."""
_CORS = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": EXPOSED_HEADERS,
}
_PREFLIGHT = {
    **_CORS,
    "access-control-allow-methods": "OPTIONS, GET, HEAD, POST, PUT, PATCH, DELETE",
    "access-control-allow-headers": "Authorization, Content-Type, If-None-Match, If-Range, Range",
    "access-control-max-age": "86400",
    "content-type": "application/json",  # as openEO asks
}
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+/?")
_PAIR = re.compile(r"(?:^|;)\s*([a-z]+)\s*=\s*(?:\"([^\"]*)\"|([^;\s]*))", re.IGNORECASE)
_SCHEMES = ("http", "https")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class CorsMiddleware:
    """Every origin may use the service; OPTIONS is answered with 204 at every address.

    The framework's own answers only requests that have an Origin, and with 200.
    """

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == HTTPMethod.OPTIONS:
            headers = [(name.encode(), value.encode()) for name, value in _PREFLIGHT.items()]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_CORS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class HeadMiddleware:
    """HEAD is GET without the body, but where a route knows HEAD itself."""

    def __init__(self, app: ASGIApp, own_paths: re.Pattern[str]):
        self._app = app
        self._own_paths = own_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        is_head = scope["type"] == "http" and scope["method"] == HTTPMethod.HEAD
        if not is_head or self._own_paths.search(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, send_without_body)


class AddressMiddleware:
    """Lets the application see the address that users see.

    That is the configured one, else what proxies forward: `Forwarded` (RFC 7239), or
    `X-Forwarded-Proto`, `-Host`, `-Port` and `-Prefix`; the first proxy's word counts. What is
    no host, scheme or path is left out. stac-fastapi's own knows neither IPv6, quotes, lists
    nor prefixes.
    """

    def __init__(self, app: ASGIApp, public_url: str | None):
        self._app = app
        self._fixed: tuple[str, str, str] | None = None
        if public_url is not None:
            parts = urlsplit(public_url)
            self._fixed = (parts.scheme, parts.netloc, parts.path.rstrip("/"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http":
            scope = self._seen(scope)
        await self._app(scope, receive, send)

    def _seen(self, scope: Scope) -> Scope:
        headers = Headers(scope=scope)
        scheme, host, prefix = self._fixed or _forwarded(headers, scope["scheme"])
        if host is None and not prefix and scheme == scope["scheme"]:
            return scope
        seen = {**scope, "scheme": scheme}
        if host is not None:
            kept = [pair for pair in scope["headers"] if pair[0] != b"host"]
            seen["headers"] = [*kept, (b"host", host.encode("latin-1"))]
        if prefix:
            # A server's `path` has its `root_path` in front (ASGI), whether or not the proxy
            # took it away.
            path = scope["path"]
            is_whole = path == prefix or path.startswith(f"{prefix}/")
            seen |= {"root_path": prefix, "path": path if is_whole else prefix + path}
        return seen


def _forwarded(headers: Headers, scheme: str) -> tuple[str, str | None, str]:
    """Scheme, host and prefix as proxies say they are; the host is `None` if they do not."""
    said = _said(headers)
    if said.get("proto", "").lower() in _SCHEMES:
        scheme = said["proto"].lower()
    host: str | None = said.get("host", "")
    if not host and said:
        host = headers.get("host", "")
    if not host or not _HOST.fullmatch(host):
        host = None
    elif said.get("port", "").isdecimal():
        host = f"{re.sub(r':[0-9]+$', '', host)}:{said['port']}"
    prefix = said.get("prefix", "")
    prefix = prefix.rstrip("/") if _PREFIX.fullmatch(prefix) else ""
    return scheme, host and host.removesuffix(_DEFAULT_PORTS.get(scheme, "")), prefix


def _said(headers: Headers) -> Mapping[str, str]:
    if forwarded := headers.get("forwarded"):
        pairs = _PAIR.findall(_first(forwarded))
        said = {name.lower(): quoted or plain for name, quoted, plain in pairs}
        names: Iterable[str] = ("proto", "host")
    else:
        names = ("proto", "host", "port", "prefix")
        said = {name: _first(headers.get(f"x-forwarded-{name}", "")) for name in names}
    if "prefix" not in said:
        said["prefix"] = _first(headers.get("x-forwarded-prefix", ""))
    return {name: said[name] for name in (*names, "prefix") if said.get(name)}


def _first(text: str) -> str:
    return text.split(",", 1)[0].strip()
