"""The item of a mask as it is published: with its files where they are stored, and its place among
the masks of the same acquisition.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kappamask_catalog.collection.documents import Document, extend_collection
from kappamask_catalog.collection.versions import chain_versions
from kappamask_catalog.publish.item import MODEL_ITEM_FILE
from kappamask_catalog.sources.documents import is_url
from kappamask_catalog.storage.base import MaskStorage, StoredFile, key_part
from kappamask_catalog.store.base import OPERATOR, Claim, ItemQuery, Store
from kappamask_catalog.store.held import HeldClaim, lock
from kappamask_udf.errors import OutputError, StorageError

_MAX_VERSIONS = 1000
"""Masks of one acquisition; a handful of products times a handful of models."""


@dataclass(frozen=True)
class Place:
    """Where a mask goes."""

    store: Store
    storage: MaskStorage
    collection_id: str


def store_result(
    place: Place, folder: Path, item_id: str, held: HeldClaim, source: str | None = None
) -> None:
    """Publish a result folder: files first, then the item that names them.

    Args:
        place: where to.
        folder: with the files and the item `ITEM-ID.json`; nobody may change it any more.
        item_id: of the item.
        held: the claim on it.
        source: where the product is, for `derived_from`; as the item says if `None`.

    Raises:
        ClaimLostError: somebody else makes this mask by now; nothing was published.
        StorageError, StoreError: it cannot be stored; nothing was published.
    """
    owner = f"{place.collection_id}/{key_part(item_id)}"
    prefix = f"{owner}/{held.claim.token}"
    try:
        stored = place.storage.put_folder(folder, prefix)
        item = published_item(folder / f"{item_id}.json", place.collection_id, stored, source)
        publish_item(place.store, item, held.claim)
    except BaseException:
        # Nobody knows the files yet. What cannot be removed now goes with the next try.
        with suppress(StorageError):
            place.storage.delete_prefix(prefix)
        raise
    _remove_earlier(place.storage, owner, held.claim)


def _remove_earlier(storage: MaskStorage, owner: str, claim: Claim) -> None:
    """Files of tries before this one: nobody can publish them any more."""
    for prefix in storage.list_prefixes(owner):
        token = prefix.rpartition("/")[2]
        if token.isdecimal() and int(token) < claim.token:
            storage.delete_prefix(prefix)


def published_item(
    path: Path, collection_id: str, stored: Mapping[str, StoredFile], source: str | None
) -> Document:
    """The item of a result folder with hrefs of the stored files instead of relative ones.

    Args:
        path: of the item as it was written beside the mask.
        collection_id: where it will belong.
        stored: what was stored, by file name.
        source: where the product is, for `derived_from`; as the item says if `None`.

    Raises:
        OutputError: a file that the item names was not stored.
    """
    item: Document = json.loads(path.read_text(encoding="utf-8"))
    item["collection"] = collection_id
    for key, asset in item["assets"].items():
        name = asset["href"].removeprefix("./")
        if name not in stored:
            raise OutputError(f"the file of asset {key} of {item['id']} was not stored: {name}")
        asset["href"] = stored[name].href
        expression = asset.get("processing:expression")
        if expression and MODEL_ITEM_FILE in stored:
            expression["expression"] = stored[MODEL_ITEM_FILE].href
    item["links"] = [_published_link(link, item, source) for link in item["links"]]
    return item


def _published_link(link: Mapping[str, Any], item: Document, source: str | None) -> Document:
    if link["rel"] == "mlm:model":
        # Relative to the root of the service.
        return {**link, "href": f"models/{item['properties']['kappamask:model']}"}
    if link["rel"] == "derived_from" and source is not None:
        return {**link, "href": source if is_url(source) else Path(source).resolve().as_uri()}
    return dict(link)


def publish_item(store: Store, item: Document, claim: Claim) -> None:
    """Make an item visible, and with it what it changes: which mask of the acquisition is in use,
    and the extents of the collection.

    Raises:
        ClaimLostError: somebody else makes this mask by now; nothing was published.
        NotInStoreError: there is no such collection.
    """
    collection_id, acquisition = item["collection"], item["properties"]["kappamask:acquisition"]
    with lock(store, f"{collection_id}/acquisition/{acquisition}"):
        others = acquisition_items(store, collection_id, acquisition)
        members = [item, *(one for one in others if one["id"] != item["id"])]
        changed = {item["id"]: item} | {one["id"]: one for one in chain_versions(members)}
        store.upsert_items(collection_id, list(changed.values()), claim)
    follow_items(store, item)


def acquisition_items(store: Store, collection_id: str, acquisition: str) -> list[Document]:
    """All masks of one acquisition in a collection."""
    query = ItemQuery(
        collections=(collection_id,),
        filter={"op": "=", "args": [{"property": "kappamask:acquisition"}, acquisition]},
        limit=_MAX_VERSIONS,
    )
    return store.search(query, OPERATOR).items


def follow_items(store: Store, *items: Document) -> None:
    """Widen extents and summaries of a collection so that they hold its new items."""
    collection_id = items[0]["collection"]
    before = store.get_collection(collection_id, OPERATOR)
    if extend_collection(before, items) == before:
        return
    with lock(store, f"{collection_id}/document"):
        before = store.get_collection(collection_id, OPERATOR)
        access = store.get_access(collection_id, OPERATOR)
        store.put_collection(extend_collection(before, items), access)
