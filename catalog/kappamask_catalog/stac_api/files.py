"""Files of masks over HTTP: GET and HEAD `/assets/{key}`, in ranges, signed where they must be."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from kappamask_catalog.stac_api.assets import ROUTE, FileReader, LinkSigner, collection_of
from kappamask_catalog.stac_api.errors import LinkInvalidError, UnavailableError
from kappamask_catalog.stac_api.ranges import (
    ByteRange,
    is_range_wanted,
    is_unchanged,
    parse_range,
)
from kappamask_catalog.stac_api.settings import StacApiSettings
from kappamask_catalog.store.base import ANYBODY, Store, Visibility
from kappamask_udf.errors import NotInStoreError, StorageError

PATHS = re.compile(rf"/{ROUTE}/")
"""Paths whose answers are files: never compressed, and HEAD is their own."""
CHUNK_BYTES = 1 << 20
_NOT_IN_KEYS = re.compile(r"[\\\x00-\x1f\x7f]")
_NO_FILE = "there is no such file; links are on the items"


class FileGate:
    """Lets through who may read a file: everybody for public collections, else signed links."""

    def __init__(self, store: Store, settings: StacApiSettings, signer: LinkSigner | None):
        self._store = store
        self._settings = settings
        self._signer = signer

    def check(self, key: str, expires: str | None, signature: str | None) -> tuple[int, bool]:
        """For how many seconds the file may be read, and whether others may keep a copy.

        Raises:
            NotInStoreError: the key could leave the storage.
            LinkInvalidError, LinkExpiredError: the link must be signed and is not, or has ended.
        """
        check_key(key)
        if signature is not None and self._signer is not None:
            return max(int(self._signer.check(key, expires or "", signature)), 1), False
        if self._settings.sign_all or not self._is_public(key):
            # The same for files that are not there: nobody learns which are.
            raise LinkInvalidError(f"this file needs a signed link{self._hint()}")
        return self._settings.link_seconds, True

    def _is_public(self, key: str) -> bool:
        try:
            access = self._store.get_access(collection_of(key), ANYBODY)
        except NotInStoreError:
            return False
        return access.visibility is Visibility.PUBLIC

    def _hint(self) -> str:
        if self._signer is None:
            return ", and this service has no KAPPAMASK_API_SECRET to sign it with"
        return "; take it from the item"


def check_key(key: str) -> None:
    """Return if a key stays below the storage's root, whatever is made of it.

    Raises:
        NotInStoreError: it has empty parts, `.`, `..`, backslashes or control characters.
    """
    parts = key.split("/")
    if _NOT_IN_KEYS.search(key) or any(part in ("", ".", "..") for part in parts):
        raise NotInStoreError(_NO_FILE)


def build_router(files: FileReader, gate: FileGate) -> APIRouter:
    """The route to files."""
    router = APIRouter(tags=["Files"])

    def answer_file(
        key: str, request: Request, expires: str | None = None, signature: str | None = None
    ) -> Response:
        """A file of a mask, or a range of its bytes."""
        seconds, is_public = gate.check(key, expires, signature)
        with _reading():
            # Links of S3 are signed for one method; HEAD is small, so it is answered here.
            if request.method == "GET" and (url := files.redirect(key, seconds)):
                return RedirectResponse(url, 307, headers={"Cache-Control": "no-store"})
            kept = f"{'public' if is_public else 'private'}, max-age={seconds}"
            return _file_response(files, key, request.method, request.headers, kept)

    for method in ("GET", "HEAD"):
        router.add_api_route(
            f"/{ROUTE}/{{key:path}}", answer_file, methods=[method], name=f"{method} file"
        )
    return router


def _file_response(
    files: FileReader, key: str, method: str, asked: Headers, cache_control: str
) -> Response:
    size, etag = files.size(key), files.etag(key)
    headers = {"Accept-Ranges": "bytes", "ETag": etag, "Cache-Control": cache_control}
    if is_unchanged(asked.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    headers |= {"Content-Type": files.media_type(key), "X-Content-Type-Options": "nosniff"}
    wanted = None
    if method == "GET" and is_range_wanted(asked.get("if-range"), etag):
        wanted = parse_range(asked.get("range"), size)
    part = wanted or ByteRange(0, size)
    headers["Content-Length"] = str(part.stop - part.start)
    if wanted is not None:
        headers["Content-Range"] = wanted.content_range(size)
    status = 200 if wanted is None else 206
    if method == "HEAD":
        return Response(status_code=status, headers=headers)
    if part.stop - part.start <= CHUNK_BYTES:
        return Response(b"".join(_chunks(files, key, part)), status, headers=headers)
    return StreamingResponse(_chunks(files, key, part), status, headers=headers)


def _chunks(files: FileReader, key: str, part: ByteRange) -> Iterator[bytes]:
    for start in range(part.start, part.stop, CHUNK_BYTES):
        stop = min(start + CHUNK_BYTES, part.stop)
        chunk = files.read(key, start, stop)
        if len(chunk) != stop - start:
            raise UnavailableError(f"{key} became shorter while it was read")
        yield chunk


@contextmanager
def _reading() -> Iterator[None]:
    """Errors of the storage: not there, or out of order; their texts name paths of the machine."""
    try:
        yield
    except StorageError as error:
        if error.__cause__ is None or isinstance(
            error.__cause__, FileNotFoundError | IsADirectoryError | NotADirectoryError
        ):
            raise NotInStoreError(_NO_FILE) from error
        raise UnavailableError(f"the storage cannot be read: {error}") from error
