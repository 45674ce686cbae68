"""Whether what is published is valid, and its files are there and what their items say."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kappamask_catalog.collection.keeping import all_items
from kappamask_catalog.publish.validation import validate_item
from kappamask_catalog.storage.base import MaskStorage
from kappamask_catalog.store.base import OPERATOR, Store
from kappamask_udf.errors import StorageError
from kappamask_udf.models.spec import MULTIHASH_SHA256

_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class Finding:
    """What is wrong with one document or file."""

    where: str
    """Collection, or collection and item."""
    problem: str


def check_store(
    store: Store, storage: MaskStorage, with_checksums: bool = False
) -> Iterator[Finding | None]:
    """Look at every collection and item; `None` for each that is as it should be.

    Args:
        store: what is looked at.
        storage: of the files.
        with_checksums: read every file and compare, instead of its size only.

    Raises:
        MissingExtraError: `jsonschema` is not installed.
    """
    for collection in store.list_collections(OPERATOR):
        yield from _findings(collection["id"], validate_item(_with_links(collection)))
        for item in all_items(store, collection["id"]):
            problems = validate_item(_with_links(item))
            problems += _check_files(item, storage, with_checksums)
            yield from _findings(f"{collection['id']}/{item['id']}", problems)


def _findings(where: str, problems: list[str]) -> Iterator[Finding | None]:
    if not problems:
        yield None
    for problem in problems:
        yield Finding(where, problem)


def _with_links(document: dict[str, Any]) -> dict[str, Any]:
    """A document with the link that whoever serves it adds and STAC asks for."""
    if document["type"] != "Feature":
        return document
    link = {"rel": "collection", "href": f"collections/{document['collection']}"}
    return {**document, "links": [*document["links"], link]}


def _check_files(item: dict[str, Any], storage: MaskStorage, with_checksums: bool) -> list[str]:
    problems = []
    for name, asset in item["assets"].items():
        key = storage.key_of(asset["href"])
        if key is None:
            continue
        try:
            size = storage.size(key)
            if size != asset.get("file:size", size):
                problems.append(f"asset {name} has {size} bytes, not {asset['file:size']}")
            elif with_checksums and _sha256(storage, key, size) != asset.get("file:checksum"):
                problems.append(f"asset {name} has another checksum: {asset['href']}")
        except StorageError as error:
            problems.append(f"asset {name}: {error}")
    return problems


def _sha256(storage: MaskStorage, key: str, size: int) -> str:
    digest = hashlib.sha256()
    for start in range(0, size, _CHUNK_BYTES):
        digest.update(storage.read(key, start, min(start + _CHUNK_BYTES, size)))
    return MULTIHASH_SHA256 + digest.hexdigest()
