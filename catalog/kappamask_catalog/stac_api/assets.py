"""Links to the files of masks: public ones from stored ones, signed where they must be.

A stored href is an address below the storage's root, such as `file:///srv/masks/...` or
`s3://bucket/masks/...`; what comes after the root is the file's key. The first part of a key is
the id of the collection that the file belongs to, with `=XX` for other bytes than those of names.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from typing import Protocol
from urllib.parse import quote

from kappamask_catalog.stac_api.errors import LinkExpiredError, LinkInvalidError
from kappamask_catalog.stac_api.settings import StacApiSettings

ROUTE = "assets"
"""First part of the path of files."""
_ROUND_SECONDS = 60
"""Links end at whole minutes, so that a page that is asked for again has the same ones and caches
hit."""
_SAFE = "/._~-:@,="
_ESCAPED = re.compile(rb"=([0-9A-F]{2})")

Clock = Callable[[], float]
"""Seconds since 1970."""


class AssetLinks(Protocol):
    """Makes links that users can open of those that the store keeps."""

    def public_href(self, href: str, base_url: str, collection_id: str, is_public: bool) -> str:
        """The link to give out.

        Args:
            href: as it is stored.
            base_url: address of the service, with a slash at the end.
            collection_id: what the file belongs to.
            is_public: everybody sees that collection.
        """
        ...


class FileReader(Protocol):
    """Reads published files by key: what a storage of masks can do, as far as it is needed here.

    Raises `StorageError`, with `FileNotFoundError` as its cause or none for a file that is not
    there.
    """

    def size(self, key: str) -> int:
        """Bytes."""
        ...

    def read(self, key: str, start: int, stop: int) -> bytes:
        """Bytes from `start` to before `stop`."""
        ...

    def media_type(self, key: str) -> str:
        """Such as `image/tiff; application=geotiff`."""
        ...

    def etag(self, key: str) -> str:
        """Strong entity tag, in quotes: another one for other contents."""
        ...

    def redirect(self, key: str, seconds: float) -> str | None:
        """Where everybody can have the file for so long; `None` if it must go through us."""
        ...

    def key_of(self, href: str) -> str | None:
        """The key that a stored href names; `None` if it is not of this storage."""
        ...


class LinkSigner:
    """Signs keys for a time with HMAC-SHA256 and checks the signatures."""

    def __init__(self, secret: str, clock: Clock = time.time):
        self._secret = secret.encode()
        self._clock = clock

    def query(self, key: str, seconds: int) -> str:
        """The part of an address behind `?` that opens a file for that long, or a minute more."""
        end = int(self._clock()) + seconds
        expires = -(-end // _ROUND_SECONDS) * _ROUND_SECONDS
        return f"expires={expires}&signature={self._signature(key, str(expires))}"

    def check(self, key: str, expires: str, signature: str) -> float:
        """For how many seconds a link still works.

        Raises:
            LinkInvalidError: it was not signed by this secret for this file and time.
            LinkExpiredError: it has ended.
        """
        expected = self._signature(key, expires)
        # As bytes: texts beyond ASCII cannot be compared.
        if not hmac.compare_digest(expected.encode(), signature.encode(errors="replace")):
            raise LinkInvalidError("the signature of this link is wrong; take it from the item")
        remaining = int(expires) - self._clock()
        if remaining <= 0:
            raise LinkExpiredError("this link has ended; get the item again for a new one")
        return remaining

    def _signature(self, key: str, expires: str) -> str:
        text = f"{expires}\n{key}".encode(errors="replace")
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()


class StorageLinks:
    """Links through this service, for the files of one storage."""

    def __init__(self, files: FileReader, settings: StacApiSettings, clock: Clock = time.time):
        self._files = files
        self._settings = settings
        self._signer = build_signer(settings, clock)

    def public_href(self, href: str, base_url: str, collection_id: str, is_public: bool) -> str:
        """See `AssetLinks`. What is not of the storage stays as it is."""
        key = self._files.key_of(href)
        if key is None:
            return href
        url = f"{base_url}{ROUTE}/{quote(key, safe=_SAFE)}"
        is_open = is_public and collection_of(key) == collection_id
        if (is_open and not self._settings.sign_all) or self._signer is None:
            return url
        return f"{url}?{self._signer.query(key, self._settings.link_seconds)}"


def collection_of(key: str) -> str:
    """The collection whose file a key names."""
    part = key.partition("/")[0]
    if "=" not in part:
        return part
    plain = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), part.encode())
    return plain.decode(errors="replace")


def build_signer(settings: StacApiSettings, clock: Clock = time.time) -> LinkSigner | None:
    """A signer with the secret of the settings; `None` if they have none."""
    secret = settings.secret
    return None if secret is None else LinkSigner(secret.get_secret_value(), clock)
