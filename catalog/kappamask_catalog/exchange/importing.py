"""Masks from elsewhere into a store: result folders of `kappamask mask`, static catalogs, items."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pystac
from pystac.errors import STACError

from kappamask_catalog.publish.item import MODEL_ITEM_FILE
from kappamask_catalog.publishing.items import Place, publish_item, store_result
from kappamask_catalog.sources.documents import local_path
from kappamask_catalog.store.base import OPERATOR
from kappamask_catalog.store.held import HeldClaim, holder_name
from kappamask_udf.errors import ClaimLostError, InvalidDocumentError, NotInStoreError

Document = dict[str, Any]
_OF_A_PLACE = (
    "self", "root", "parent", "collection", "items", "predecessor-version", "successor-version",
    "latest-version",
)  # fmt: skip
"""Relations of links that say where an item was, not what it is."""


def find_items(path: Path) -> Iterator[pystac.Item]:
    """Items of masks at a path: an item's file, a result folder, or a static catalog.

    Raises:
        InvalidDocumentError: there is none, or something cannot be read as STAC.
    """
    try:
        yield from _find(path)
    except (STACError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InvalidDocumentError(f"{path} cannot be read as STAC ({reason})") from error


def _find(path: Path) -> Iterator[pystac.Item]:
    if path.is_dir():
        roots = [path / name for name in ("catalog.json", "collection.json")]
        root = next((one for one in roots if one.is_file()), None)
        files = [root] if root else sorted(path.glob("*.json"))
    else:
        files = [path]
    found = 0
    for file in files:
        document = json.loads(file.read_text(encoding="utf-8"))
        kind = document.get("type") if isinstance(document, dict) else None
        if kind in ("Catalog", "Collection"):
            for item in pystac.Catalog.from_file(str(file)).get_items(recursive=True):
                if "kappamask:model" in item.properties:
                    found += 1
                    yield item
        elif kind == "Feature" and "kappamask:model" in document.get("properties", {}):
            found += 1
            yield pystac.Item.from_file(str(file))
    if not found:
        raise InvalidDocumentError(
            f"{path} holds no item of a mask; give a folder that `kappamask mask` made, a static "
            "catalog or an item"
        )


def import_item(place: Place, item: pystac.Item, work: Path, is_forced: bool = False) -> bool:
    """Publish an item with copies of its local files; whether it was not there before.

    Args:
        place: where to.
        item: of a mask, read from its file.
        work: folder for copies.
        is_forced: replace one of the same id.

    Raises:
        ClaimLostError: somebody makes this mask right now.
        InvalidDocumentError: a file that it names is not there.
    """
    if not is_forced and _is_present(place, item.id):
        return False
    claim = place.store.try_claim(f"{place.collection_id}/{item.id}", holder_name())
    if claim is None:
        raise ClaimLostError(f"{item.id} is being made by somebody else right now; try again later")
    folder = work / f"import-{claim.token}"
    with HeldClaim(place.store, claim) as held:
        try:
            folder.mkdir()
            document = _bare_document(item)
            if _copy_files(item, document, folder):
                (folder / f"{item.id}.json").write_text(json.dumps(document), encoding="utf-8")
                store_result(place, folder, item.id, held)
            else:
                document["collection"] = place.collection_id
                publish_item(place.store, document, held.claim)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return True


def _is_present(place: Place, item_id: str) -> bool:
    try:
        place.store.get_item(place.collection_id, item_id, OPERATOR)
    except NotInStoreError:
        return False
    return True


def _bare_document(item: pystac.Item) -> Document:
    """The item without links that say where it was."""
    document: Document = item.to_dict(include_self_link=False, transform_hrefs=False)
    links = []
    for link in document["links"]:
        if link["rel"] in _OF_A_PLACE:
            continue
        if link["rel"] == "derived_from":
            absolute = pystac.Link.from_dict(link).set_owner(item).get_absolute_href()
            path = local_path(absolute or link["href"])
            link = {**link, "href": absolute if path is None else path.resolve().as_uri()}
        links.append(link)
    document["links"] = links
    document.pop("collection", None)
    return document


def _copy_files(item: pystac.Item, document: Document, folder: Path) -> bool:
    """Copy the local files of an item; whether there are any."""
    found = False
    for key, asset in item.assets.items():
        href = asset.get_absolute_href() or asset.href
        path = local_path(href)
        if path is None:
            continue
        if not path.is_file():
            raise InvalidDocumentError(f"the file of asset {key} of {item.id} is missing: {path}")
        shutil.copyfile(path, folder / path.name)
        document["assets"][key]["href"] = f"./{path.name}"
        found = True
        model = path.with_name(MODEL_ITEM_FILE)
        if model.is_file():
            shutil.copyfile(model, folder / MODEL_ITEM_FILE)
    return found
