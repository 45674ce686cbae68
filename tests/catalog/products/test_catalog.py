"""A static catalog is walked once, on disk and on a server, and no further than it may."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kappamask_catalog.products import SourceConfig, open_collection
from kappamask_udf.errors import SourceError
from tests.catalog.products.items import item
from tests.catalog.products.stac_server import Answer, Site

pytestmark = pytest.mark.enable_socket

Document = dict[str, Any]
Documents = dict[str, Any]


def node(kind: str = "Catalog", **links: list[str]) -> Document:
    """A catalog or collection with children and items."""
    listed = [{"rel": rel, "href": href} for rel, hrefs in links.items() for href in hrefs]
    return {"type": kind, "stac_version": "1.1.0", "id": "x", "description": "x", "links": listed}


def make_item(number: int, collection: str = "l1c", lon: float = 10.0) -> Document:
    ring = [[lon, 45], [lon + 1, 45], [lon + 1, 46], [lon, 46], [lon, 45]]
    document = item(
        f"item-{number}",
        collection,
        {"B02": {"href": "./B02.jp2"}},
        datetime=f"2023-06-{number:02}T10:00:00Z",
    )
    document["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    return document


TREE: Documents = {
    "catalog.json": node(child=["a/collection.json", "./b/catalog.json"], item=["0.json"]),
    "0.json": make_item(1),
    "a/collection.json": node("Collection", item=["1.json", "2.json"], root=["../catalog.json"]),
    "a/1.json": make_item(2),
    "a/2.json": make_item(3, lon=30),
    "b/catalog.json": node(item=["3.json", "../a/1.json"], child=["../catalog.json"]),
    "b/3.json": make_item(4, "l2a"),
}

Serve = Callable[..., SourceConfig]


@pytest.fixture(params=["disk", "server"])
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Serve:
    """Puts documents where a catalog is and returns the source."""

    def put(documents: Documents, collections: tuple[str, ...] = ()) -> SourceConfig:
        if request.param == "server":
            site: Site = request.getfixturevalue("site")
            site.documents |= {f"/{name}": document for name, document in documents.items()}
            location = f"{site.url}/catalog.json"
        else:
            for name, document in documents.items():
                path = tmp_path / name
                path.parent.mkdir(exist_ok=True)
                body = document.body if isinstance(document, Answer) else None
                path.write_bytes(json.dumps(document).encode() if body is None else body)
            location = str(tmp_path / "catalog.json")
        return SourceConfig("tree", "catalog", location, "L1C", collections, timeout_s=2)

    return put


def ids(config: SourceConfig, **query: Any) -> list[str]:
    return [ref.id for ref in open_collection(config).search(**query)]


def test_search_finds_every_item_once(serve: Serve) -> None:
    config = serve(TREE)
    refs = list(open_collection(config).search())
    assert [ref.id for ref in refs] == ["item-1", "item-2", "item-3", "item-4"]
    base = config.location.removesuffix("catalog.json")
    assert refs[1].location == f"{base}a/1.json"
    assert refs[1].item is not None
    assert refs[1].item.assets["B02"].href == f"{base}a/B02.jp2"


def test_search_conditions_hold(serve: Serve) -> None:
    config = serve(TREE)
    assert ids(config, bbox=(29, 40, 31, 50)) == ["item-3"]
    assert ids(config, bbox=(29, 40, -31, 50)) == ["item-3"]
    start = datetime(2023, 6, 2, tzinfo=UTC)
    assert ids(config, interval=(start, None)) == ["item-2", "item-3", "item-4"]
    assert ids(config, limit=2) == ["item-1", "item-2"]


def test_search_other_collections_are_left_out(serve: Serve) -> None:
    assert ids(serve(TREE, ("l2a",))) == ["item-4"]


def test_search_folder_means_its_catalog(tmp_path: Path) -> None:
    for name in ("catalog.json", "0.json"):
        document = node(item=["0.json"]) if name == "catalog.json" else TREE[name]
        (tmp_path / name).write_text(json.dumps(document))
    assert ids(SourceConfig("tree", "catalog", str(tmp_path), "L1C")) == ["item-1"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"catalog.json": make_item(1)}, "is an item, a catalog was expected"),
        ({"catalog.json": {"type": "FeatureCollection"}}, "is a FeatureCollection"),
        ({"catalog.json": {"a": 1}}, "is JSON of another kind"),
        ({"catalog.json": [1]}, "a JSON list"),
        ({"catalog.json": Answer(body=b"<html>")}, "web page|no JSON"),
        ({"catalog.json": {"type": "Catalog"}}, "has no list of links"),
        ({"a/collection.json": make_item(1)}, "is an item, a catalog was expected"),
        ({"a/1.json": node("Collection")}, "is a Collection, a STAC item was expected"),
        ({"a/1.json": {**make_item(1), "geometry": {"type": "Polygon"}}}, "geometry of item"),
        ({"a/1.json": {**make_item(1), "properties": 5}}, "no valid STAC item"),
        ({"catalog.json": node(item=["gone.json"])}, "does not exist|HTTP 404"),
        ({"catalog.json": node(item=["s3://b/i.json"])}, "links to 's3://b/i.json'; "),
    ],
)
def test_search_wrong_document_is_named(serve: Serve, changes: Documents, message: str) -> None:
    config = serve({**TREE, **changes})
    with pytest.raises(SourceError, match=message) as caught:
        ids(config, bbox=(0, 0, 90, 90))
    assert str(caught.value).startswith("source tree: ")
    assert "\n" not in str(caught.value)


def test_search_endless_tree_ends(site: Site) -> None:
    for number in range(40):
        site.documents[f"/{number}.json"] = node(child=[f"{number + 1}.json"])
    config = SourceConfig("tree", "catalog", f"{site.url}/0.json", "L1C")
    with pytest.raises(SourceError, match="more than 32 catalogs deep"):
        ids(config)


@pytest.mark.parametrize("href", ["file:///etc/hostname", "/../../etc/hostname"])
def test_search_server_leads_to_no_file(site: Site, href: str) -> None:
    site.documents["/catalog.json"] = node(item=[href])
    config = SourceConfig("tree", "catalog", f"{site.url}/catalog.json", "L1C")
    with pytest.raises(SourceError, match=r"only http and https are followed|HTTP 404"):
        ids(config)


def test_search_disk_leads_to_no_server(tmp_path: Path, site: Site) -> None:
    (tmp_path / "catalog.json").write_text(json.dumps(node(item=[f"{site.url}/0.json"])))
    config = SourceConfig("tree", "catalog", str(tmp_path), "L1C")
    with pytest.raises(SourceError, match="a catalog on disk is followed on disk"):
        ids(config)
    assert site.requests == []
