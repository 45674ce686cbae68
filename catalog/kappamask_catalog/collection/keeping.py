"""The collections' documents in a store, brought up to date with models and items."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from kappamask_catalog.collection.documents import (
    COLLECTION_IDS,
    EMPTY_EXTENT,
    Document,
    build_collection,
    extend_collection,
)
from kappamask_catalog.store.base import MAX_LIMIT, OPERATOR, Access, ItemQuery, Store
from kappamask_catalog.store.held import lock
from kappamask_udf.errors import NotInStoreError
from kappamask_udf.models import ModelSpec
from kappamask_udf.pixels import Level

_FOLLOWING = ("extent", "summaries", "cube:dimensions")
"""Fields that follow the items."""


def ensure_collection(
    store: Store, level: Level, models: Sequence[ModelSpec], host: str | None = None
) -> str:
    """Put a level's collection into a store, or bring its description up to date; its id.

    Access, extents and summaries of one that is there stay.
    """
    built = build_collection(level, models, host)
    collection_id = COLLECTION_IDS[level]
    with lock(store, f"{collection_id}/document"):
        try:
            before = store.get_collection(collection_id, OPERATOR)
            access = store.get_access(collection_id, OPERATOR)
        except NotInStoreError:
            store.put_collection(built, Access())
            return collection_id
        kept = {name: before[name] for name in _FOLLOWING if name in before}
        after = {**built, **kept}
        if after != before:
            store.put_collection(after, access)
    return collection_id


def recompute_collection(store: Store, collection_id: str) -> Document:
    """Extents and summaries of exactly the items that are there; the document."""
    with lock(store, f"{collection_id}/document"):
        before = store.get_collection(collection_id, OPERATOR)
        bare = {**before, "summaries": _bare_summaries(before), "extent": EMPTY_EXTENT}
        after = extend_collection(bare, all_items(store, collection_id))
        if after != before:
            store.put_collection(after, store.get_access(collection_id, OPERATOR))
    return after


def _bare_summaries(collection: Document) -> Document:
    kept = ("constellation", "gsd", "eo:bands")
    return {name: value for name, value in collection["summaries"].items() if name in kept}


def all_items(store: Store, collection_id: str, page: int = 1000) -> Iterator[Document]:
    """Every item of a collection, page by page."""
    query = ItemQuery(collections=(collection_id,), limit=min(page, MAX_LIMIT))
    while True:
        found = store.search(query, OPERATOR)
        yield from found.items
        if found.next_token is None:
            return
        query = replace(query, token=found.next_token)
