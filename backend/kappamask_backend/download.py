"""One large file over HTTP: resumed where it broke off, tried again, checked, moved into place.

What has come so far is beside the target as `NAME.part`, with `NAME.part.json` that says which
version of the file it belongs to. Both are held under a lock while somebody writes them.
"""

import fcntl
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from kappamask_udf.errors import DownloadError, MissingExtraError, OutputError

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Status codes that pass. Source: RFC 9110, RFC 6585, RFC 8470."""
CHUNK_BYTES = 1 << 18
MAX_WAIT_S = 60.0

Progress = Callable[[int, int | None], None]
"""Called with bytes that are there and bytes in all, `None` where the server does not say."""


@dataclass(frozen=True)
class Download:
    """A file that came whole."""

    path: Path
    url: str
    """Without credentials."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class _Version:
    """Which version of the remote file a part belongs to."""

    url: str
    validator: str | None
    """Strong entity tag or date of change; without one a part cannot be resumed."""


class _PassingError(Exception):
    """It did not work this time."""

    def __init__(self, reason: str, wait_s: float | None = None):
        super().__init__(reason)
        self.wait_s = wait_s


def resolve_url(url: str, mirror: str | None) -> str:
    """Where a file is fetched from: `url`, or the file of that name below `mirror` (an address or
    a folder).
    """
    if not mirror:
        return url
    return f"{mirror.rstrip('/')}/{urlsplit(url).path.rpartition('/')[2]}"


def download(
    url: str,
    target: Path,
    *,
    progress: Progress | None = None,
    attempts: int = 5,
    timeout_s: float = 30.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Download:
    """Bring the file at `url` to `target`, which exists only when it is whole.

    Args:
        url: http, https or file address, or a path.
        target: where it goes; what came of an earlier try beside it is taken up again.
        progress: called as bytes come.
        attempts: tries in all; waiting grows from one to the next.
        timeout_s: for the connection and between two bytes.
        sleep: waits, in seconds.

    Raises:
        DownloadError: the file cannot be had; what has come stays for the next try.
        OutputError: the target cannot be written.
        MissingExtraError: httpx is not installed.
    """
    parts = urlsplit(url)
    is_local = parts.scheme in ("", "file")
    if not is_local and parts.scheme not in ("http", "https"):
        raise DownloadError(f"cannot fetch {public_url(url)}: only http, https and file are read")
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(part) as stream:
            if is_local:
                _copy(Path(unquote(parts.path)) if parts.scheme else Path(url), stream, progress)
            else:
                _fetch(url, stream, part, progress, attempts, timeout_s, sleep)
            stream.flush()
            os.fsync(stream.fileno())
            digest, size = _digest(stream)
            part.replace(target)
            _sidecar(part).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write {target}: {error.strerror or error}; free some space or choose another "
            "folder"
        ) from error
    return Download(target, public_url(url), digest, size)


def public_url(url: str) -> str:
    """The address without user name, password and query, which may hold secrets."""
    parts = urlsplit(url)
    if not parts.scheme:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


@contextmanager
def _locked(part: Path) -> Iterator[IO[bytes]]:
    """The part, open, for this process alone. The lock goes with the process that holds it."""
    while True:
        with part.open("a+b") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DownloadError(
                    f"another process is fetching {part.name.removesuffix('.part')} right now; "
                    "wait until it is done"
                ) from error
            # Between opening and locking another process may have moved the part into place.
            if part.exists() and os.path.samestat(os.fstat(stream.fileno()), part.stat()):
                yield stream
                return


def _copy(source: Path, stream: IO[bytes], progress: Progress | None) -> None:
    stream.truncate(0)
    try:
        original = source.open("rb")
    except OSError as error:
        raise DownloadError(f"cannot read {source}: {error.strerror}") from error
    with original:
        total = source.stat().st_size
        while chunk := original.read(CHUNK_BYTES):
            stream.write(chunk)
            if progress is not None:
                progress(stream.tell(), total)


def _fetch(
    url: str,
    stream: IO[bytes],
    part: Path,
    progress: Progress | None,
    attempts: int,
    timeout_s: float,
    sleep: Callable[[float], None],
) -> None:
    httpx = _httpx()
    reason = ""
    with httpx.Client(timeout=timeout_s, follow_redirects=True) as client:
        for attempt in range(attempts):
            try:
                _attempt(client, url, stream, part, progress)
            except _PassingError as again:
                reason, wait_s = str(again), again.wait_s
            except httpx.TransportError as error:
                reason, wait_s = str(error) or type(error).__name__, None
            except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
                raise DownloadError(f"cannot fetch {public_url(url)}: {error}") from error
            else:
                return
            if attempt + 1 < attempts:
                # Not all who were sent away come back at the same moment.
                sleep(wait_s or min(2.0**attempt, MAX_WAIT_S) * random.uniform(0.5, 1.0))  # noqa: S311
    raise DownloadError(f"cannot fetch {public_url(url)}: {reason} ({attempts} attempts)")


def _attempt(
    client: Any, url: str, stream: IO[bytes], part: Path, progress: Progress | None
) -> None:
    """One request; returns when the part is whole."""
    done = stream.seek(0, os.SEEK_END)
    version = _read_version(part)
    headers = {"Accept-Encoding": "identity"}
    if done and version.url == url and version.validator:
        headers |= {"Range": f"bytes={done}-", "If-Range": version.validator}
    with client.stream("GET", url, headers=headers) as response:
        _check_answer(response, url)
        if response.status_code == 416:
            # Longer than the file is now: it changed, or the part holds more than was sent.
            _restart(stream, part, _Version(url, None))
            raise _PassingError("the file changed", wait_s=0.01)
        if response.status_code != 206 or not _continues(response, done):
            _restart(stream, part, _Version(url, _validator(response)))
            done = 0
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdigit() else None
        # Pieces as they come: collected ones would be lost when the connection breaks.
        for chunk in response.iter_raw():
            stream.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
        stream.flush()
    if total is not None and done < total:
        raise _PassingError(f"the connection ended after {done} of {total} bytes")


def _check_answer(response: Any, url: str) -> None:
    """Raise unless the answer carries the file, or says that a part does not fit."""
    if response.url.scheme == "http" and urlsplit(url).scheme == "https":
        raise DownloadError(
            f"{public_url(url)} sends on to an unprotected address, which is not taken"
        )
    status = response.status_code
    if status in RETRIED:
        raise _PassingError(f"HTTP {status} {response.reason_phrase}", _retry_after(response))
    if status not in (200, 206, 416):
        raise DownloadError(
            f"cannot fetch {public_url(url)}: HTTP {status} {response.reason_phrase}"
        )
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise DownloadError(
            f"{public_url(url)} answers with a web page in place of the file, as proxies and login "
            "portals do"
        )


def _continues(response: Any, done: int) -> bool:
    """Whether a partial answer begins where the part ends."""
    return str(response.headers.get("Content-Range", "")).startswith(f"bytes {done}-")


def _validator(response: Any) -> str | None:
    # Weak tags may stand for other bytes. Source: RFC 9110, section 13.1.5.
    tag = response.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return str(tag)
    return str(response.headers["Last-Modified"]) if "Last-Modified" in response.headers else None


def _retry_after(response: Any) -> float | None:
    text = response.headers.get("Retry-After", "")
    return min(float(text), MAX_WAIT_S) if text.isdigit() else None


def _sidecar(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_version(part: Path) -> _Version:
    try:
        return _Version(**json.loads(_sidecar(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return _Version("", None)


def _restart(stream: IO[bytes], part: Path, version: _Version) -> None:
    """Empty the part and note which version of the file it will hold."""
    stream.truncate(0)
    # Credentials stay out of files: such a part is begun anew.
    shown = version if public_url(version.url) == version.url else _Version("", None)
    _sidecar(part).write_text(json.dumps(asdict(shown)), encoding="utf-8")


def _digest(stream: IO[bytes]) -> tuple[str, int]:
    digest = new_sha256()
    stream.seek(0)
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest(), stream.tell()


def _httpx() -> Any:
    try:
        import httpx
    except ImportError as error:
        raise MissingExtraError(
            "fetching weights needs httpx; install 'openeo-kappamask[import]'"
        ) from error
    return httpx
