"""Unfinished uploads in S3: a process that was killed leaves parts that no listing shows.

obstore can neither list nor abort them, so these two requests are made and signed here.
Sources: Amazon S3 API reference, ListMultipartUploads and AbortMultipartUpload; AWS General
Reference, Signature Version 4.
"""

import hmac
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote, urlsplit

from lxml import etree

from kappamask_udf.errors import StorageError

_TIMEOUT_S = 30.0
_MAX_ANSWER_BYTES = 16 << 20
_MAX_ROUNDS = 100
_EMPTY_SHA256 = sha256(b"").hexdigest()


@dataclass(frozen=True)
class Credentials:
    """For one request."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def find_credentials() -> Credentials | None:
    """Those in the environment, `None` where they come from elsewhere."""
    access = os.environ.get("AWS_ACCESS_KEY_ID")
    secret = os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not access or not secret:
        return None
    token = os.environ.get("AWS_SESSION_TOKEN") or os.environ.get("AWS_TOKEN")
    return Credentials(access, secret, token or None)


def abort_uploads(endpoint: str | None, bucket: str, prefix: str) -> int:
    """Abort all unfinished uploads of keys that begin with `prefix`; how many there were.

    Nothing is done where the credentials are not in the environment.

    Raises:
        StorageError: the server refuses it.
        OSError: it cannot be reached.
    """
    credentials = find_credentials()
    if credentials is None:
        return 0
    client = UploadsClient(endpoint, bucket, credentials)
    count = 0
    # Those that are aborted are listed no more, so the first page is asked for again and again.
    for _ in range(_MAX_ROUNDS):
        uploads = list(client.uploads(prefix))
        for key, upload in uploads:
            client.abort(key, upload)
        count += len(uploads)
        if not uploads:
            break
    return count


class UploadsClient:
    """Lists and aborts unfinished uploads in one bucket."""

    def __init__(self, endpoint: str | None, bucket: str, credentials: Credentials) -> None:
        self._region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        self._region = self._region or "us-east-1"
        base = endpoint or f"https://s3.{self._region}.amazonaws.com"
        hosted = os.environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() in ("1", "true")
        # With hosted requests the endpoint has the bucket in its name already.
        self._base = base.rstrip("/") if hosted and endpoint else f"{base.rstrip('/')}/{bucket}"
        self._credentials = credentials

    def uploads(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Keys and ids of the first unfinished uploads."""
        answer = self._request("GET", "", {"uploads": "", "prefix": prefix})
        parser = etree.XMLParser(resolve_entities=False, no_network=True)
        try:
            root = etree.fromstring(answer, parser)
        except etree.XMLSyntaxError as error:
            raise StorageError("the server's list of uploads is no XML") from error
        for upload in root.iter("{*}Upload"):
            key, number = upload.findtext("{*}Key"), upload.findtext("{*}UploadId")
            # Some servers take no prefix.
            if key and number and key.startswith(prefix):
                yield key, number

    def abort(self, key: str, upload: str) -> None:
        """Abort one; it is no error if somebody else has."""
        self._request("DELETE", f"/{quote(key, safe='/-_.~')}", {"uploadId": upload})

    def _request(self, method: str, path: str, query: Mapping[str, str]) -> bytes:
        parts = urlsplit(self._base + path)
        text = "&".join(
            f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
            for name, value in sorted(query.items())
        )
        headers = self._sign(method, parts.netloc, parts.path or "/", text)
        request = urllib.request.Request(  # noqa: S310 - the configured server
            f"{parts.geturl()}?{text}", method=method, headers=headers
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
                data: bytes = answer.read(_MAX_ANSWER_BYTES)
        except urllib.error.HTTPError as error:
            error.close()
            # 404: aborted already. 501 and 405: a server without them leaves no parts to list.
            if error.code in (404, 405, 501):
                return b"<none/>"
            raise StorageError(
                f"unfinished uploads cannot be removed: HTTP {error.code} {error.reason}"
            ) from error
        return data

    def _sign(self, method: str, host: str, path: str, query: str) -> dict[str, str]:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": host, "x-amz-content-sha256": _EMPTY_SHA256, "x-amz-date": now}
        if self._credentials.token:
            headers["x-amz-security-token"] = self._credentials.token
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        canonical = "\n".join((method, path, query, lines, names, _EMPTY_SHA256))
        scope = f"{now[:8]}/{self._region}/s3/aws4_request"
        digest = sha256(canonical.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{digest}"
        key = f"AWS4{self._credentials.secret_key}".encode()
        for word in (now[:8], str(self._region), "s3", "aws4_request"):
            key = hmac.new(key, word.encode(), sha256).digest()
        signature = hmac.new(key, to_sign.encode(), sha256).hexdigest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._credentials.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return headers
