"""Files that belong to no item: what processes left that were killed at a bad moment."""

from collections.abc import Iterator

from kappamask_catalog.collection.keeping import all_items
from kappamask_catalog.storage.base import MaskStorage, key_part
from kappamask_catalog.store.base import OPERATOR, Store


def find_stray_prefixes(store: Store, storage: MaskStorage) -> Iterator[str]:
    """Folders in the storage that no item links to and that nobody is filling right now.

    Claims are read before items, so a mask that is published meanwhile counts as claimed.
    """
    for collection in store.list_collections(OPERATOR):
        collection_id = collection["id"]
        claimed = {
            f"{collection_id}/{key_part(claim.key.removeprefix(f'{collection_id}/'))}"
            for claim in store.list_claims()
            if claim.key.startswith(f"{collection_id}/")
        }
        owners = [one for one in storage.list_prefixes(collection_id) if one not in claimed]
        found = [prefix for owner in owners for prefix in storage.list_prefixes(owner)]
        if found:
            linked = _linked_prefixes(store, storage, collection_id)
            yield from (prefix for prefix in found if prefix not in linked)


def _linked_prefixes(store: Store, storage: MaskStorage, collection_id: str) -> set[str]:
    keys = (
        storage.key_of(asset["href"])
        for item in all_items(store, collection_id)
        for asset in item["assets"].values()
    )
    return {key.rpartition("/")[0] for key in keys if key is not None}
