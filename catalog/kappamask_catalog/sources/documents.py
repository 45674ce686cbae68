"""Small documents of a product, XML and JSON, read and parsed with care.

They may come from an archive or a server that nobody vouches for, so there is a limit to their
size, no entity is resolved and nothing they refer to is fetched. Rasters are read elsewhere.
"""

import http.client
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lxml import etree

from kappamask_udf.errors import CorruptDataError, ProductError

MAX_DOCUMENT_BYTES = 64 << 20
"""Largest document that is read. The largest that we need, MTD_TL.xml, has below 1 MB and the
GML masks of a scene with many lost packets a few; this leaves room and keeps memory bounded."""
HTTP_TIMEOUT_S = 30.0
"""How long a server may be silent before a document counts as unreachable."""


def is_url(location: str) -> bool:
    """Whether `location` is fetched over HTTP."""
    return urlsplit(location).scheme.lower() in ("http", "https")


def local_path(location: str) -> Path | None:
    """The path that a plain path or a `file:` URL names, `None` for every other URL."""
    scheme = urlsplit(location).scheme.lower()
    if scheme == "file":
        return Path(unquote(urlsplit(location).path))
    # A single letter is a drive, not a scheme.
    return None if len(scheme) > 1 and "://" in location else Path(location)


def read_document(location: str) -> bytes:
    """The bytes of a document at a path or an http(s) URL.

    Raises:
        ProductError: it is missing, unreachable, forbidden or larger than `MAX_DOCUMENT_BYTES`.
    """
    path = local_path(location)
    if path is not None:
        return _read_file(path)
    if is_url(location):
        return _read_url(location)
    raise ProductError(f"{location} cannot be read: only paths, file, http and https URLs can")


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
    except FileNotFoundError as error:
        raise ProductError(f"{path} does not exist; check the path or get the file") from error
    except OSError as error:
        raise ProductError(f"{path} cannot be read: {error.strerror or error}") from error
    return _limited(data, str(path))


def _read_url(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": "*/*"})  # noqa: S310 - http(s), see is_url
    try:
        with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S) as answer:  # noqa: S310
            data: bytes = answer.read(MAX_DOCUMENT_BYTES + 1)
    except urllib.error.HTTPError as error:
        error.close()
        raise ProductError(f"{url} cannot be read: HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise ProductError(f"{url} cannot be reached: {reason}; check the address") from error
    return _limited(data, url)


def _limited(data: bytes, source: str) -> bytes:
    if len(data) > MAX_DOCUMENT_BYTES:
        raise ProductError(
            f"{source} is larger than {MAX_DOCUMENT_BYTES >> 20} MiB; no metadata of a "
            "Sentinel-2 product is"
        )
    return data


def parse_xml(data: bytes, source: str) -> etree._Element:
    """The root element of an XML document; namespaces stay, comments go.

    Raises:
        CorruptDataError: it is no XML, or has a document type (which ESA's documents never have,
            and through which entities would come).
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise CorruptDataError(f"{source} is no well-formed XML: {error.msg}") from error
    if root is None:
        raise CorruptDataError(f"{source} is empty")
    if getattr(root.getroottree().docinfo, "doctype", None):
        raise CorruptDataError(f"{source} has a document type declaration, which is not accepted")
    return root


def read_xml(location: str) -> etree._Element:
    """`read_document`, then `parse_xml`."""
    return parse_xml(read_document(location), location)


def parse_json_object(data: bytes, source: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ProductError: it is no JSON, or no object.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProductError(f"{source} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ProductError(f"{source} holds a JSON {type(value).__name__}, an object is needed")
    return value


def find_text(root: etree._Element, tag: str) -> str | None:
    """Text of the first element `tag` at any depth and in any namespace, stripped."""
    for element in root.iter("{*}" + tag):
        text = (element.text or "").strip()
        return text or None
    return None
