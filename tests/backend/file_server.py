"""A web server with one file, that misbehaves when it is told to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What the server has and how it behaves; tests change it as they go."""

    content: bytes
    etag: str | None = '"one"'
    has_ranges: bool = True
    content_type: str = "application/octet-stream"
    statuses: list[int] = field(default_factory=list)
    """Answers to the next requests in place of the file."""
    cuts: list[int] = field(default_factory=list)
    """Bytes after which the next answers break off."""
    retry_after: str | None = None
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range of every request."""
    url: str = ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that were killed are part of the tests."""


@contextmanager
def serve(served: Served) -> Iterator[Served]:
    """Serve on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            served.requests.append((self.path, wanted))
            if served.statuses:
                self._refuse(served.statuses.pop(0))
                return
            first = 0
            if wanted and served.has_ranges and self.headers.get("If-Range") == served.etag:
                first = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self._answer(first)

        def _refuse(self, status: int) -> None:
            self.send_response(status)
            if served.retry_after:
                self.send_header("Retry-After", served.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _answer(self, first: int) -> None:
            body = served.content[first:]
            self.send_response(206 if first else 200)
            self.send_header("Content-Type", served.content_type)
            self.send_header("Content-Length", str(len(body)))
            if first:
                size = len(served.content)
                self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
            if served.etag:
                self.send_header("ETag", served.etag)
            self.end_headers()
            self.wfile.write(body[: served.cuts.pop(0)] if served.cuts else body)

        def log_message(self, *_: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_address[1]}/weights/l1c.hdf5"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
