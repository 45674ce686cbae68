"""A proxy before the S3 server that makes the faults of a network and of other servers."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Refuse = Callable[[str, str], int | None]


@dataclass
class Faults:
    """What goes wrong; tests change it as they go."""

    endpoint: str = ""
    refuse: Refuse = lambda _method, _path: None
    """Status to answer a request with, by method and path, or `None` to pass it on."""
    etag: str | None = None
    """In place of the server's own where a file is looked up."""
    tamper: Callable[[bytes], bytes] = lambda body: body
    """What becomes of the contents of files that are read."""
    requests: list[tuple[str, str]] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, faults: Faults, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults, self.target = faults, target

    def handle_error(self, *_: object) -> None:
        """Clients that went away are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_one_request(self) -> None:
        for method in ("GET", "PUT", "POST", "DELETE", "HEAD"):
            setattr(self, f"do_{method}", self._pass_on)
        super().handle_one_request()

    def _pass_on(self) -> None:
        faults = self.server.faults
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        faults.requests.append((self.command, self.path))
        refused = faults.refuse(self.command, self.path)
        if refused is not None:
            self._answer(refused, {}, b"")
            return
        connection = http.client.HTTPConnection(self.server.target, timeout=30)
        # The host is signed, so it stays the one that the client knows.
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        data = answer.read()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        connection.close()
        if self.command == "HEAD" and faults.etag:
            headers["etag"] = faults.etag
        if self.command == "GET" and "?" not in self.path:
            data = faults.tamper(data)
        self._answer(answer.status, headers, data)

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        if self.command != "HEAD":
            headers["content-length"] = str(len(data))
        self.send_response(status)
        for name, value in headers.items():
            if name not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def proxy_s3(endpoint: str) -> Iterator[Faults]:
    """Serve on a free port of the loopback interface."""
    faults = Faults()
    server = _Server(faults, urlsplit(endpoint).netloc)
    faults.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
