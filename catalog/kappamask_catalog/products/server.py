"""JSON from a server that may be slow, busy, wrong or hostile: bounded in time, size and tries."""

import base64
import json
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kappamask_catalog.products.base import public_url
from kappamask_catalog.products.config import SourceConfig
from kappamask_udf.errors import MissingExtraError, SourceError

if TYPE_CHECKING:
    import requests

ATTEMPTS = 3
"""Tries for one answer."""
MAX_ANSWER_BYTES = 64 << 20
"""Largest answer. A page of 1000 items of Copernicus Data Space, some 60 kB each, just fits."""
MAX_REDIRECTS = 5
MAX_WAIT_S = 20.0
"""Longest pause between two tries, whatever the server asks for."""
_CHUNK_BYTES = 1 << 16
# Status codes that pass. Source: RFC 9110, RFC 6585.
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


class _PassingError(Exception):
    """It did not work this time."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class JsonServer:
    """Asks the server of a source. Safe from several threads, one at a time each."""

    def __init__(
        self, config: SourceConfig, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Prepares to ask.

        Args:
            config: whose server.
            sleep: waits, in seconds.

        Raises:
            SourceError: a variable with credentials is not set.
            MissingExtraError: requests is not installed.
        """
        try:
            import requests
            from urllib3 import exceptions as urllib3_exceptions
        except ImportError as error:
            raise MissingExtraError(
                "catalogues on servers need requests; install 'openeo-kappamask[catalog]'"
            ) from error
        self._requests = requests
        self._urllib3 = urllib3_exceptions
        self._config = config
        self._sleep = sleep
        self._authorization = _authorization(config)

    @property
    def location(self) -> str:
        """Where the source is."""
        return self._config.location

    def get_object(self, url: str) -> dict[str, Any]:
        """A JSON object. Raises `SourceError` if there is none."""
        return self.parse_object(self.get_text("GET", url), url)

    def parse_object(self, text: str, url: str) -> dict[str, Any]:
        """A JSON object from text. Raises `SourceError` if it is none."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            start = text.lstrip()[:1]
            kind = "a web page" if start == "<" else "no JSON"
            raise self.failed(url, f"answers with {kind}; check the address") from error
        if not isinstance(value, dict):
            raise self.failed(url, f"answers with a JSON {type(value).__name__}, not an object")
        return value

    def failed(self, url: str, what: str) -> SourceError:
        """An error about an address."""
        return SourceError(f"source {self._config.id}: {public_url(url)} {what}")

    def get_text(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of an answer.

        Args:
            method: of HTTP.
            url: http or https.
            headers: further ones.
            body: sent as JSON.
            parameters: sent in the query.

        Raises:
            SourceError: it is refused, too slow, too large, or goes in circles.
        """
        if urlsplit(url).scheme not in ("http", "https"):
            raise self.failed(url, "is no http or https address; no other is followed")
        sent = {"Accept": "application/geo+json, application/json", **(headers or {})}
        if self._authorization and _origin(url) == _origin(self._config.location):
            sent["Authorization"] = self._authorization
        reason = ""
        for attempt in range(ATTEMPTS):
            try:
                return self._attempt(method, url, sent, body, parameters)
            except _PassingError as again:
                reason = str(again)
                # Not all who were sent away come back at the same moment.
                wait_s = again.wait_s or 2.0**attempt * random.uniform(0.5, 1.0)  # noqa: S311
            if attempt + 1 < ATTEMPTS:
                self._sleep(min(wait_s, MAX_WAIT_S))
        raise self.failed(url, f"{reason} ({ATTEMPTS} attempts)")

    def _attempt(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Mapping[str, Any] | None,
        parameters: Mapping[str, Any] | None,
    ) -> str:
        timeout_s = self._config.timeout_s
        deadline = time.monotonic() + timeout_s
        errors = self._requests.exceptions
        with self._requests.Session() as session:
            session.max_redirects = MAX_REDIRECTS
            try:
                response = session.request(
                    method,
                    url,
                    headers=dict(headers),
                    json=body,
                    params=parameters,
                    timeout=timeout_s,
                    stream=True,
                )
                with response:
                    self._check(response, url)
                    data = self._read(response, url, deadline)
            except errors.TooManyRedirects as error:
                raise self.failed(url, f"redirects more than {MAX_REDIRECTS} times") from error
            except (errors.Timeout, self._urllib3.ReadTimeoutError) as error:
                raise _PassingError(f"does not answer within {timeout_s:g} s") from error
            except (errors.ConnectionError, self._urllib3.HTTPError) as error:
                raise _PassingError(f"cannot be reached: {_cause(error)}") from error
            # What is wrong with the address itself, or with a redirect.
            except errors.RequestException as error:
                raise self.failed(url, f"cannot be asked: {_cause(error)}") from error
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.failed(url, "answers with something that is no text") from error

    def _check(self, response: "requests.Response", url: str) -> None:
        status = response.status_code
        if status in _RETRIED:
            told = response.headers.get("Retry-After", "")
            raise _PassingError(
                f"answers with HTTP {status} {response.reason}",
                float(told) if told.isdigit() else None,
            )
        if status in (401, 403):
            hint = "check its credentials" if self._authorization else "it needs credentials"
            raise self.failed(url, f"answers with HTTP {status} {response.reason}; {hint}")
        if not 200 <= status < 300:
            raise self.failed(url, f"answers with HTTP {status} {response.reason}")

    def _read(self, response: "requests.Response", url: str, deadline: float) -> bytes:
        """All of an answer; one that comes drop by drop would never time out by itself."""
        data = bytearray()
        # `iter_content` would wait until a chunk is full.
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            data += chunk
            if len(data) > MAX_ANSWER_BYTES:
                raise self.failed(url, f"answers with more than {MAX_ANSWER_BYTES >> 20} MiB")
            if time.monotonic() > deadline:
                raise _PassingError(f"does not answer within {self._config.timeout_s:g} s")
        return bytes(data)


def _authorization(config: SourceConfig) -> str | None:
    names = config.credentials
    if names.token:
        return f"Bearer {config.secret(names.token)}"
    if names.user and names.password:
        pair = f"{config.secret(names.user)}:{config.secret(names.password)}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    return None


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower()


def _cause(error: BaseException) -> str:
    """The innermost reason, in one line without the address, which may hold secrets."""
    text = str(getattr(error, "reason", None) or (error.args[0] if error.args else error))
    inner = getattr(error.args[0] if error.args else None, "reason", None)
    text = str(inner or text)
    return " ".join(text.rpartition(">: ")[2].split())[:200] or type(error).__name__
