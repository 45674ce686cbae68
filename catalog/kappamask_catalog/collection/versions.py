"""Masks of one acquisition: which is in use, and how the others point to it.

Products are processed again, and models get new versions. Masks by one model (with one profile and
tiling) of products of one acquisition are a chain; the newest product wins, and of one product the
newest version of the model stands at the end of the chain.
"""

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from kappamask_catalog.sources.naming import product_version

Document = dict[str, Any]
_RUN_FIELDS = (
    "kappamask:model", "kappamask:profile", "kappamask:tiling", "kappamask:dilation", "gsd",
)  # fmt: skip
_RELATIONS = ("predecessor-version", "successor-version", "latest-version")


def chain_versions(items: Iterable[Mapping[str, Any]]) -> list[Document]:
    """The items of one acquisition with `deprecated` and links between versions as they should be.

    Only those that differ from what was given are returned. The order of `items` plays no role, so
    whoever does this last leaves the same as whoever did it before.
    """
    ordered = sorted(items, key=lambda item: (_run(item), *_rank(item)))
    return [
        changed for _, members in groupby(ordered, key=_run) for changed in _chain(list(members))
    ]


def _chain(members: Sequence[Mapping[str, Any]]) -> Iterable[Document]:
    newest = _rank(members[-1])[0]
    for index, item in enumerate(members):
        changed: Document = copy.deepcopy(dict(item))
        changed["links"] = [
            link for link in changed.get("links", ()) if link.get("rel") not in _RELATIONS
        ]
        properties = changed["properties"]
        properties.pop("deprecated", None)
        if _rank(item)[0] != newest:
            properties["deprecated"] = True
        if index > 0:
            changed["links"].append(_link("predecessor-version", members[index - 1]))
        if index < len(members) - 1:
            changed["links"].append(_link("successor-version", members[index + 1]))
            changed["links"].append(_link("latest-version", members[-1]))
        if changed != item:
            yield changed


def _run(item: Mapping[str, Any]) -> tuple[str, ...]:
    """How the mask was made, whatever the version of the model."""
    return tuple(str(item["properties"].get(name, "")) for name in _RUN_FIELDS)


def _rank(item: Mapping[str, Any]) -> tuple[Any, ...]:
    """Product version first, then that of the model."""
    properties = item["properties"]
    product = str(properties.get("kappamask:product", item["id"]))
    numbers = re.findall(r"\d+", str(properties.get("kappamask:model_version", "")))
    return product_version(properties, product), tuple(map(int, numbers)), item["id"]


def _link(relation: str, item: Mapping[str, Any]) -> Document:
    # Relative to the root of the service.
    return {
        "rel": relation,
        "href": f"collections/{item['collection']}/items/{item['id']}",
        "type": "application/geo+json",
        "title": item["properties"].get("title", item["id"]),
    }
