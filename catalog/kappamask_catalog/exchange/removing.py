"""Masks taken away: items first, so that no link leads nowhere, then their files."""

from collections.abc import Sequence
from typing import Any

from kappamask_catalog.collection.keeping import recompute_collection
from kappamask_catalog.collection.versions import chain_versions
from kappamask_catalog.publishing.items import acquisition_items
from kappamask_catalog.storage.base import MaskStorage, key_part
from kappamask_catalog.store.base import OPERATOR, Store
from kappamask_catalog.store.held import lock


def remove_masks(
    store: Store, storage: MaskStorage, collection_id: str, item_ids: Sequence[str]
) -> int:
    """Remove items with their files; what they were to other versions is settled anew.

    Returns:
        How many files were removed.

    Raises:
        NotInStoreError: one of the items is not there; nothing was removed then.
        StorageError: files cannot be removed; the items are gone all the same.
    """
    items = [store.get_item(collection_id, one, OPERATOR) for one in item_ids]
    acquisitions = {str(one["properties"].get("kappamask:acquisition")) for one in items}
    store.delete_items(collection_id, item_ids)
    for acquisition in sorted(acquisitions):
        with lock(store, f"{collection_id}/acquisition/{acquisition}"):
            rest = acquisition_items(store, collection_id, acquisition)
            changed: list[dict[str, Any]] = chain_versions(rest)
            if changed:
                store.upsert_items(collection_id, changed)
    recompute_collection(store, collection_id)
    return sum(storage.delete_prefix(f"{collection_id}/{key_part(one)}") for one in item_ids)
