"""A web server with a static catalog or a STAC API, that misbehaves when it is told to."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Document = dict[str, Any]


@dataclass
class Answer:
    """What is sent in place of a document."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    drip_s: float = 0.0
    """Pause between two bytes."""


@dataclass
class Request:
    """What was asked."""

    method: str
    path: str
    parameters: Document
    headers: Mapping[str, str]


Reply = Document | list[Any] | Answer
Page = Callable[[Request], Reply]


@dataclass
class Site:
    """Documents by path, or functions that make them; tests change it as they go."""

    documents: dict[str, Reply | Page] = field(default_factory=dict)
    url: str = ""
    requests: list[Request] = field(default_factory=list)

    def searches(self) -> list[Document]:
        """Parameters of all searches."""
        return [one.parameters for one in self.requests if one.path == "/search"]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, site: Site) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.site = site

    def handle_error(self, *_: object) -> None:
        """Clients that went away are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._reply(dict(parse_qsl(urlsplit(self.path).query)))

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self._reply(json.loads(self.rfile.read(length)))

    def _reply(self, parameters: Document) -> None:
        request = Request(
            self.command, urlsplit(self.path).path, parameters, dict(self.headers.items())
        )
        site = self.server.site
        site.requests.append(request)
        found = site.documents.get(request.path, Answer(404))
        reply = found(request) if callable(found) else found
        if not isinstance(reply, Answer):
            reply = Answer(body=json.dumps(reply).encode())
        time.sleep(reply.wait_s)
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if not reply.drip_s:
            self.wfile.write(reply.body)
            return
        for number in range(len(reply.body)):
            self.wfile.write(reply.body[number : number + 1])
            self.wfile.flush()
            time.sleep(reply.drip_s)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve_site() -> Iterator[Site]:
    """Serve on a free port of the loopback interface."""
    site = Site()
    server = _Server(site)
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def add_api(site: Site, items: list[Document], methods: tuple[str, ...] = ("GET", "POST")) -> None:
    """A STAC API with item search, paged by a token, as stac-fastapi answers."""
    search = f"{site.url}/search"
    site.documents["/"] = {
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": "api",
        "description": "An API",
        "conformsTo": [
            "https://api.stacspec.org/v1.0.0/core",
            "https://api.stacspec.org/v1.0.0/item-search",
        ],
        "links": [
            {"rel": "self", "href": f"{site.url}/"},
            *({"rel": "search", "href": search, "method": method} for method in methods),
        ],
    }

    def page(request: Request) -> Document:
        parameters = dict(request.parameters)
        collections = parameters.get("collections") or []
        if isinstance(collections, str):
            collections = collections.split(",")
        matching = [one for one in items if one["collection"] in collections]
        start, limit = int(parameters.get("token", 0)), int(parameters.get("limit", 10))
        links: list[Document] = []
        if start + limit < len(matching):
            token = str(start + limit)
            if request.method == "POST":
                body = {**parameters, "token": token}
                links = [{"rel": "next", "href": search, "method": "POST", "body": body}]
            else:
                query = "&".join(f"{k}={v}" for k, v in {**parameters, "token": token}.items())
                links = [{"rel": "next", "href": f"{search}?{query}"}]
        return {
            "type": "FeatureCollection",
            "features": matching[start : start + limit],
            "links": links,
        }

    site.documents["/search"] = page
