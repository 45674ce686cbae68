"""Published files in S3, of Amazon or any other server that speaks it.

A file is sent once, in parts if it is large, and compared by the tag that the server computes of
what came. A mask in S3 has no moment at which it appears as a whole: it is visible from the item
on that links to it, which is written when all files are there.
"""

import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from hashlib import md5, sha256
from pathlib import Path
from typing import Any, TypeVar

from kappamask_catalog.storage.base import (
    Progress,
    StoredFile,
    check_key,
    local_files,
    media_type_of,
    occupied,
)
from kappamask_catalog.storage.s3_errors import is_final, translated
from kappamask_catalog.storage.s3_uploads import abort_uploads, find_credentials
from kappamask_udf.errors import MissingExtraError, StorageError

try:
    import obstore
    from obstore.store import S3Store
except ImportError as error:
    raise MissingExtraError("S3 needs obstore; install 'openeo-kappamask[s3]'") from error

logger = logging.getLogger(__name__)

PART_BYTES = 8 << 20
"""Of a part; S3 takes at least 5 MiB and at most 10,000 parts, so files up to 78 GiB."""
PARALLEL_PARTS = 4
"""Parts on their way at a time. Bounds memory to about 40 MB for a file of any size."""
ATTEMPTS = 3
"""For a file, on top of those that obstore makes for a request."""
MAX_LINK_LIFE = timedelta(days=7)
"""Of a presigned URL. Source: Amazon S3 API reference, Signature Version 4, query parameters."""
PUBLIC_ENDPOINT_VARIABLE = "KAPPAMASK_S3_PUBLIC_ENDPOINT"
"""Address under which those outside reach the server, where that is another one."""

# How long a request may take; a part of 8 MiB comes through a line of 2 Mbit/s in 34 s.
_TIMEOUTS = {"connect_timeout": timedelta(seconds=10), "timeout": timedelta(seconds=120)}
_RETRIES: Any = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5)},
}
_DELETE_BATCH = 1000
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class _Digests:
    """Of a local file."""

    size: int
    sha256: str
    etag: str
    """What S3 makes of it: MD5, or MD5 of the MD5s of the parts with their number."""


class S3Storage:
    """See `MaskStorage`."""

    def __init__(
        self, bucket: str, prefix: str = "", *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """A bucket, or what is below a prefix of it.

        Args:
            bucket: name of an existing bucket.
            prefix: key before all keys.
            sleep: waits, in seconds.

        Raises:
            StorageError: another server than Amazon's was named without credentials, or the
                configuration cannot be understood.
        """
        self._bucket = bucket
        self._prefix = check_key(prefix, "prefix") if prefix else ""
        self._sleep = sleep
        self._endpoint = _endpoint()
        _check_credentials(self._endpoint)
        self._store = _open_store(bucket, self._endpoint)
        public = os.environ.get(PUBLIC_ENDPOINT_VARIABLE)
        self._public_store = _open_store(bucket, public) if public else self._store

    def __repr__(self) -> str:
        return f"S3Storage({self.root_uri!r})"

    @property
    def root_uri(self) -> str:
        """See `MaskStorage.root_uri`."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def put_folder(
        self, local: Path, prefix: str, progress: Progress | None = None
    ) -> dict[str, StoredFile]:
        """See `MaskStorage.put_folder`."""
        files = local_files(local)
        if self.exists(prefix):
            raise occupied(prefix, self.root_uri)
        total = sum(path.stat().st_size for path in files)
        done = 0
        stored = {}
        try:
            for path in files:
                key = check_key(f"{prefix}/{path.name}")
                seen = _Counter(progress, done, total)
                stored[path.name] = self._put(path, key, seen)
                done += stored[path.name].size
        except BaseException:
            self._try_to_clean(prefix)
            raise
        return stored

    def delete_prefix(self, prefix: str) -> int:
        """See `MaskStorage.delete_prefix`.

        Parts of unfinished uploads are removed, too, if the credentials are in the environment;
        those of a role are not seen here, so let the bucket have a rule that removes such parts.
        """
        full = self._full(prefix)
        count = 0
        with translated(f"cannot remove {self._uri(prefix)}", self._bucket):
            batch: list[str] = []
            for meta in self._list(full):
                batch.append(meta["path"])
                if len(batch) == _DELETE_BATCH:
                    count += self._delete(batch)
                    batch = []
            count += self._delete(batch)
        try:
            abort_uploads(self._endpoint, self._bucket, f"{full}/")
        except (StorageError, OSError) as error:
            # The files are gone; parts are no files, and many may not list them.
            logger.warning("unfinished uploads below %s stay: %s", self._uri(prefix), error)
        return count

    def list_prefixes(self, prefix: str = "") -> list[str]:
        """See `MaskStorage.list_prefixes`."""
        full = self._full(prefix) if prefix else self._prefix
        with translated(f"cannot list {self._uri(prefix)}", self._bucket):
            found = obstore.list_with_delimiter(self._store, full or None)["common_prefixes"]
        names = sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)
        return [f"{prefix}/{name}" if prefix else name for name in names]

    def exists(self, prefix: str) -> bool:
        """See `MaskStorage.exists`."""
        full = self._full(prefix)
        with translated(f"cannot list {self._uri(prefix)}", self._bucket):
            return next(self._list(full, chunk=1), None) is not None

    def size(self, key: str) -> int:
        """See `MaskStorage.size`."""
        return int(self._head(key)["size"])

    def read(self, key: str, start: int, stop: int) -> bytes:
        """See `MaskStorage.read`."""
        full = self._full(key)
        if start < 0 or stop < start:
            raise StorageError(f"bytes {start} to {stop} of {key} are no range")
        stop = min(stop, self.size(key))
        if start >= stop:
            return b""
        with translated(f"cannot read {self._uri(key)}", self._bucket):
            return bytes(obstore.get_range(self._store, full, start=start, end=stop))

    def media_type(self, key: str) -> str:
        """See `MaskStorage.media_type`; files are stored with the same."""
        return media_type_of(check_key(key))

    def etag(self, key: str) -> str:
        """See `MaskStorage.etag`: the server's own."""
        meta = self._head(key)
        return str(meta["e_tag"] or f'"{meta["last_modified"].timestamp():x}-{meta["size"]:x}"')

    def redirect(self, key: str, seconds: float) -> str | None:
        """See `MaskStorage.redirect`: a presigned URL, for seven days at most, as S3 wants it."""
        full = self._full(key)
        with translated(f"cannot sign {self._uri(key)}", self._bucket):
            lifetime = min(timedelta(seconds=max(1.0, seconds)), MAX_LINK_LIFE)
            return obstore.sign(self._public_store, "GET", full, lifetime)

    def key_of(self, href: str) -> str | None:
        """See `MaskStorage.key_of`."""
        root = f"{self.root_uri}/"
        if not href.startswith(root):
            return None
        try:
            return check_key(href.removeprefix(root))
        except StorageError:
            return None

    def _full(self, key: str) -> str:
        check_key(key)
        return f"{self._prefix}/{key}" if self._prefix else key

    def _uri(self, key: str) -> str:
        return f"{self.root_uri}/{key}"

    def _list(self, full: str, chunk: int = 1000) -> Iterator[Any]:
        for page in obstore.list(self._store, full, chunk_size=chunk):
            yield from page

    def _head(self, key: str) -> Any:
        full = self._full(key)
        with translated(f"cannot read {self._uri(key)}", self._bucket):
            return obstore.head(self._store, full)

    def _delete(self, paths: list[str]) -> int:
        if paths:
            obstore.delete(self._store, paths)
        return len(paths)

    def _put(self, path: Path, key: str, progress: "_Counter") -> StoredFile:
        full, uri = self._full(key), self._uri(key)
        digests = _digest(path)
        with translated(f"cannot write {uri}", self._bucket):
            self._retry(lambda: self._send(path, full, digests.size, progress))
            meta = self._retry(lambda: obstore.head(self._store, full))
            if meta["size"] != digests.size:
                raise StorageError(
                    f"{uri} has {meta['size']} bytes after it was stored, {digests.size} were "
                    "sent; store it again"
                )
            # Servers that encrypt have other tags, so what differs is read back.
            is_same = str(meta["e_tag"]).strip('"') == digests.etag
            if not is_same and self._retry(lambda: self._read_back(full)) != digests.sha256:
                raise StorageError(
                    f"{uri} has other contents than were sent, or {path} changed meanwhile; "
                    "store it again"
                )
        return StoredFile(uri, digests.size, digests.sha256)

    def _send(self, path: Path, full: str, size: int, progress: "_Counter") -> None:
        attributes: Any = {"Content-Type": media_type_of(full)}
        if size <= PART_BYTES:
            data = path.read_bytes()
            obstore.put(self._store, full, data, use_multipart=False, attributes=attributes)
            progress(size)
            return
        obstore.put(
            self._store,
            full,
            _parts(path, progress),
            use_multipart=True,
            chunk_size=PART_BYTES,
            max_concurrency=PARALLEL_PARTS,
            attributes=attributes,
        )

    def _read_back(self, full: str) -> str:
        digest = sha256()
        for chunk in obstore.get(self._store, full).stream(min_chunk_size=PART_BYTES):
            digest.update(chunk)
        return digest.hexdigest()

    def _retry(self, call: Callable[[], _Result]) -> _Result:
        """Call again what failed for a reason that may pass."""
        for attempt in range(1, ATTEMPTS):
            try:
                return call()
            except Exception as error:
                if is_final(error):
                    raise
                # Not all who failed at once come back at once.
                self._sleep(2.0**attempt * random.uniform(0.5, 1.0))  # noqa: S311
        return call()

    def _try_to_clean(self, prefix: str) -> None:
        try:
            self.delete_prefix(prefix)
        except StorageError:
            return  # What failed before is what matters; leftovers are no news.


class _Counter:
    """Reports progress, also where a file is sent again."""

    def __init__(self, progress: Progress | None, before: int, total: int) -> None:
        self._progress, self._before, self._total = progress, before, total
        self._most = -1

    def __call__(self, done: int) -> None:
        if self._progress is not None and done > self._most:
            self._most = done
            self._progress(self._before + done, self._total)


def _parts(path: Path, progress: _Counter) -> Iterator[bytes]:
    done = 0
    with path.open("rb") as stream:
        while chunk := stream.read(PART_BYTES):
            yield chunk
            done += len(chunk)
            progress(done)


def _digest(path: Path) -> _Digests:
    whole = sha256()
    tags: list[bytes] = []
    size = 0
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(PART_BYTES):
                whole.update(chunk)
                tags.append(md5(chunk, usedforsecurity=False).digest())
                size += len(chunk)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    if size > PART_BYTES:
        tag = f"{md5(b''.join(tags), usedforsecurity=False).hexdigest()}-{len(tags)}"
    else:
        tag = (tags[0] if tags else md5(b"", usedforsecurity=False).digest()).hex()
    return _Digests(size, whole.hexdigest(), tag)


def _endpoint() -> str | None:
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _check_credentials(endpoint: str | None) -> None:
    """Another server has no metadata service to ask for credentials, so somebody must tell them."""
    told = ("AWS_CONTAINER_CREDENTIALS", "AWS_WEB_IDENTITY", "AWS_SKIP_SIGNATURE")
    if endpoint is None or find_credentials() or any(n.startswith(told) for n in os.environ):
        return
    raise StorageError(
        "there are no credentials for S3; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )


def _open_store(bucket: str, endpoint: str | None) -> S3Store:
    # The bucket is part of the path unless AWS_VIRTUAL_HOSTED_STYLE_REQUEST says otherwise.
    options: Any = dict(_TIMEOUTS)
    config: Any = {}
    if endpoint is not None:
        config["aws_endpoint_url_s3"] = endpoint
        options["allow_http"] = endpoint.startswith("http://")
    with translated(f"S3 cannot be opened for s3://{bucket}", bucket):
        return S3Store(bucket, config=config, client_options=options, retry_config=_RETRIES)
