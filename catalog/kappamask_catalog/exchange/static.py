"""A store as a static STAC catalog: files that any server, or none, can offer."""

import copy
import json
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kappamask_catalog.collection.keeping import all_items
from kappamask_catalog.storage.base import MaskStorage, key_part
from kappamask_catalog.store.base import OPERATOR, Store
from kappamask_udf.errors import OutputError, OutputExistsError
from kappamask_udf.models import ModelSpec

Document = dict[str, Any]
_CHUNK_BYTES = 8 << 20
_ROOT_RELATIONS = ("self", "root", "parent", "collection", "items")


def export_static(
    store: Store,
    storage: MaskStorage,
    models: Sequence[ModelSpec],
    target: Path,
    *,
    collection_ids: Sequence[str] = (),
    with_files: bool = False,
    progress: Callable[[str], None] | None = None,
) -> int:
    """Write collections and items as a folder, which is complete or not there.

    Args:
        store: what is written.
        storage: of the files.
        models: that items may link to.
        target: the folder; nothing may be there.
        collection_ids: all if empty.
        with_files: copy the files beside the items, so that the folder stands alone; otherwise
            items keep the addresses of the storage.
        progress: called with the id of every item.

    Returns:
        Number of items.

    Raises:
        OutputExistsError: there is something already.
        OutputError: it cannot be written.
        NotInStoreError: there is no such collection.
    """
    if target.exists():
        raise OutputExistsError(f"{target} is there already; choose another folder")
    aside = target.with_name(f".{target.name}.partial-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        aside.mkdir(parents=True)
        count = _write(store, storage, models, aside, collection_ids, with_files, progress)
        aside.rename(target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return count


def _write(
    store: Store,
    storage: MaskStorage,
    models: Sequence[ModelSpec],
    root: Path,
    collection_ids: Sequence[str],
    with_files: bool,
    progress: Callable[[str], None] | None,
) -> int:
    known = store.list_collections(OPERATOR)
    wanted = (
        [store.get_collection(one, OPERATOR) for one in collection_ids] if collection_ids else known
    )
    count = 0
    for collection in wanted:
        folder = root / collection["id"]
        folder.mkdir()
        children = []
        for item in all_items(store, collection["id"]):
            name = key_part(item["id"])
            place = folder / name
            place.mkdir()
            document = _static(item, 2, f"../../{collection['id']}/collection.json")
            if with_files:
                _copy_files(document, storage, place)
            _write_json(place / f"{name}.json", document)
            children.append(_child("item", f"./{name}/{name}.json", item["id"]))
            count += 1
            if progress is not None:
                progress(item["id"])
        document = _static(collection, 1, None)
        document["links"] += children
        _write_json(folder / "collection.json", document)
    _write_models(root, models)
    _write_json(root / "catalog.json", _root_catalog(wanted))
    return count


def _root_catalog(collections: Sequence[Document]) -> Document:
    children = [
        _child("child", f"./{one['id']}/collection.json", str(one.get("title", one["id"])))
        for one in collections
    ]
    return {
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": "kappamask",
        "title": "Cloud masks of Sentinel-2",
        "description": "Cloud masks of Sentinel-2 products by kappamask.",
        "links": [
            {"rel": "root", "href": "./catalog.json", "type": "application/json"},
            *children,
            _child("child", "./models/catalog.json", "Models"),
        ],
    }


def _write_models(root: Path, models: Sequence[ModelSpec]) -> None:
    folder = root / "models"
    folder.mkdir()
    links = [
        {"rel": "root", "href": "../catalog.json", "type": "application/json"},
        {"rel": "parent", "href": "../catalog.json", "type": "application/json"},
    ]
    for model in models:
        _write_json(folder / f"{model.name}.json", dict(model.item))
        links.append(_child("item", f"./{model.name}.json", model.title))
    catalog = {
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": "models",
        "title": "Models",
        "description": "Networks that masks were made with, as STAC MLM items.",
        "links": links,
    }
    _write_json(folder / "catalog.json", catalog)


def _static(document: Document, depth: int, collection_href: str | None) -> Document:
    """A document with relative links; those that the service resolves become files."""
    result: Document = copy.deepcopy(document)
    up = "../" * depth
    links = [
        {"rel": "root", "href": f"{up}catalog.json", "type": "application/json"},
        {
            "rel": "parent",
            "href": collection_href or f"{up}catalog.json",
            "type": "application/json",
        },
    ]
    if collection_href is not None:
        links.append({"rel": "collection", "href": collection_href, "type": "application/json"})
    for link in document["links"]:
        if link["rel"] not in _ROOT_RELATIONS:
            links.append({**link, "href": _static_href(link["href"], up)})
    result["links"] = links
    return result


def _static_href(href: str, up: str) -> str:
    """An address relative to the service's root as a path relative to a file."""
    if "://" in href:
        return href
    parts = href.split("/")
    if parts[0] == "models":
        return f"{up}models/{parts[1]}.json"
    if parts[0] == "collections" and len(parts) == 4:
        name = key_part(parts[3])
        return f"{up}{parts[1]}/{name}/{name}.json"
    return href


def _copy_files(item: Document, storage: MaskStorage, folder: Path) -> None:
    for asset in item["assets"].values():
        key = storage.key_of(asset["href"])
        if key is None:
            continue
        name = key.rpartition("/")[2]
        size = storage.size(key)
        with (folder / name).open("wb") as file:
            for start in range(0, size, _CHUNK_BYTES):
                file.write(storage.read(key, start, min(start + _CHUNK_BYTES, size)))
        asset["href"] = f"./{name}"


def _child(relation: str, href: str, title: str) -> Document:
    media_type = "application/geo+json" if relation == "item" else "application/json"
    return {"rel": relation, "href": href, "type": media_type, "title": title}


def _write_json(path: Path, document: Document) -> None:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
