"""What every store promises: collections, items, and who sees them."""

from typing import Any

import pytest

from kappamask_catalog.store.base import (
    ANYBODY,
    OPERATOR,
    Access,
    Caller,
    ItemQuery,
    Store,
    Visibility,
)
from kappamask_udf.errors import InvalidDocumentError, NotInStoreError

from .items import all_pages, find, ids_of, make_collection, make_item, page_of
from .places import Place

ALICE, BOB = Caller("alice"), Caller("bob")


def test_collection_is_given_as_it_was_put(store: Store) -> None:
    document, access = make_collection("new", "alice", summaries={"gsd": [10, 20]})
    store.put_collection(document, access)
    assert store.get_collection("new", OPERATOR) == document
    assert store.get_access("new", OPERATOR) == access


def test_collection_put_again_replaces_document_and_access(store: Store) -> None:
    store.upsert_items("masks", [make_item("one")])
    document, access = make_collection("masks", "alice", private=True, title="Other")
    store.put_collection(document, access)
    assert store.get_collection("masks", ALICE)["title"] == "Other"
    assert store.get_access("masks", ALICE) == access
    assert find(store) == ["one"]


def test_collections_are_listed_by_id(store: Store) -> None:
    for identifier in ("b", "zz", "a"):
        store.put_collection(*make_collection(identifier))
    listed = [one["id"] for one in store.list_collections(ANYBODY)]
    assert listed == ["a", "b", "masks", "zz"]


def test_store_that_is_new_is_empty(empty_store: Store) -> None:
    assert empty_store.list_collections(OPERATOR) == []
    page = empty_store.search(ItemQuery(), OPERATOR)
    assert (page.items, page.next_token, page.n_matched) == ([], None, 0)
    assert list(empty_store.property_names(None, OPERATOR)) == []
    assert empty_store.list_claims() == []


def test_collection_without_id_is_refused(store: Store) -> None:
    document, access = make_collection("new")
    del document["id"]
    with pytest.raises(InvalidDocumentError, match="id"):
        store.put_collection(document, access)


def test_deleted_collection_takes_its_items_along(store: Store) -> None:
    store.put_collection(*make_collection("other"))
    store.upsert_items("masks", [make_item("one"), make_item("two")])
    store.upsert_items("other", [make_item("one")])
    store.delete_collection("masks")
    page = page_of(store)
    assert [(one["collection"], one["id"]) for one in page.items] == [("other", "one")]
    assert page.n_matched == 1
    store.put_collection(*make_collection("masks"))
    assert find(store, collections=("masks",)) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.get_collection("none", OPERATOR),
        lambda store: store.get_access("none", OPERATOR),
        lambda store: store.delete_collection("none"),
        lambda store: store.upsert_items("none", [make_item("one")]),
        lambda store: store.get_item("none", "one", OPERATOR),
        lambda store: store.get_item("masks", "none", OPERATOR),
        lambda store: store.delete_items("none", ["one"]),
        lambda store: store.property_names("none", OPERATOR),
    ],
)
def test_what_is_not_there_is_said(store: Store, call: Any) -> None:
    with pytest.raises(NotInStoreError, match="none"):
        call(store)


def test_item_is_given_as_it_was_put(store: Store) -> None:
    item = make_item("one", s2__product_uri="Ä ß 漢 \\ \" ' % _", nested={"deep": [1, {"x": True}]})
    store.upsert_items("masks", [item])
    assert store.get_item("masks", "one", ANYBODY) == item
    assert page_of(store).items == [item]


def test_item_gets_the_collection_it_is_put_in(store: Store) -> None:
    item = make_item("one", collection="another")
    store.upsert_items("masks", [item])
    assert store.get_item("masks", "one", ANYBODY)["collection"] == "masks"
    assert page_of(store).items[0]["collection"] == "masks"
    assert item["collection"] == "another"


def test_item_put_again_replaces_the_first(store: Store) -> None:
    store.upsert_items("masks", [make_item("one", where=(1, 1, 2, 2), eo__cloud_cover=10)])
    item = make_item("one", "2025-01-01T00:00:00Z", (50, 50, 51, 51), eo__cloud_cover=20)
    store.upsert_items("masks", [item])
    page = page_of(store)
    assert page.items == [item]
    assert page.n_matched == 1
    assert find(store, bbox=(0, 0, 3, 3)) == []
    assert find(store, bbox=(50, 50, 51, 51)) == ["one"]


def test_same_id_in_two_collections_is_two_items(store: Store) -> None:
    store.put_collection(*make_collection("other"))
    store.upsert_items("masks", [make_item("one", gsd=10)])
    store.upsert_items("other", [make_item("one", gsd=20)])
    assert store.get_item("masks", "one", ANYBODY)["properties"]["gsd"] == 10
    assert store.get_item("other", "one", ANYBODY)["properties"]["gsd"] == 20
    assert store.delete_items("other", ["one"]) == 1
    assert store.get_item("masks", "one", ANYBODY)["properties"]["gsd"] == 10


def test_no_items_are_put_in_a_collection(store: Store) -> None:
    store.upsert_items("masks", [])
    assert find(store) == []


def _without(name: str) -> dict[str, Any]:
    item = make_item("bad")
    del item[name]
    return item


BAD_ITEMS = {
    "no id": _without("id"),
    "id is a number": {**make_item("bad"), "id": 5},
    "id is empty": {**make_item("bad"), "id": ""},
    "no geometry": _without("geometry"),
    "geometry is null": {**make_item("bad"), "geometry": None},
    "geometry is a text": {**make_item("bad"), "geometry": "POINT (1 2)"},
    "type of geometry": {**make_item("bad"), "geometry": {"type": "Circle", "coordinates": [1, 2]}},
    "coordinates": {**make_item("bad"), "geometry": {"type": "Polygon", "coordinates": [[[1, 2]]]}},
    "no coordinates": {**make_item("bad"), "geometry": {"type": "Polygon", "coordinates": []}},
    "no properties": _without("properties"),
    "no time": make_item("bad", datetime=None),
    "start only": make_item("bad", datetime=None, start_datetime="2024-03-10T10:00:21Z"),
    "time is a word": make_item("bad", "yesterday"),
    "time of no calendar": make_item("bad", "2024-02-30T10:00:21Z"),
    "ends before it starts": make_item("bad", ("2024-03-11T00:00:00Z", "2024-03-10T00:00:00Z")),
}
BAD_ITEMS["no time"]["properties"].pop("datetime", None)
BAD_ITEMS["start only"]["properties"].pop("datetime", None)


@pytest.mark.parametrize("name", BAD_ITEMS)
def test_item_that_cannot_be_stored_is_refused_with_all_others(store: Store, name: str) -> None:
    store.upsert_items("masks", [make_item("old", gsd=10)])
    items = [make_item("old", gsd=20), make_item("new"), BAD_ITEMS[name]]
    with pytest.raises(InvalidDocumentError):
        store.upsert_items("masks", items)
    page = page_of(store)
    assert ids_of(page) == ["old"]
    assert page.items[0]["properties"]["gsd"] == 10


def test_deleted_items_are_counted_and_gone(store: Store) -> None:
    store.upsert_items("masks", [make_item(name) for name in ("one", "two", "three")])
    assert store.delete_items("masks", ["one", "three", "four"]) == 2
    page = page_of(store)
    assert ids_of(page) == ["two"]
    assert page.n_matched == 1
    assert find(store, bbox=(-180, -90, 0, 90)) == []
    with pytest.raises(NotInStoreError):
        store.get_item("masks", "one", OPERATOR)
    assert store.delete_items("masks", []) == 0


def test_property_names_are_those_of_items_that_are_there(store: Store) -> None:
    store.put_collection(*make_collection("other"))
    store.upsert_items("masks", [make_item("one", first=1), make_item("two", second=None)])
    store.upsert_items("other", [make_item("three", third=1)])
    names = list(store.property_names("masks", OPERATOR))
    assert names == sorted(names)
    assert {"datetime", "first", "eo:cloud_cover", "kappamask:class_percentages"} <= set(names)
    assert {"second", "third"}.isdisjoint(names)
    assert {"first", "third"} <= set(store.property_names(None, OPERATOR))
    store.delete_items("masks", ["one"])
    assert "first" not in store.property_names("masks", OPERATOR)


def test_everything_is_there_after_a_restart(place: Place) -> None:
    store = place.open()
    store.put_collection(*make_collection("masks", "alice", private=True))
    item = make_item("one")
    store.upsert_items("masks", [item])
    claim = store.try_claim("masks/two", "me")
    store.close()

    again = place.open()
    assert again.get_access("masks", ALICE) == Access("alice", Visibility.PRIVATE)
    assert again.get_item("masks", "one", ALICE) == item
    assert page_of(again, bbox=(13, 45, 14, 46)).items == [item]
    assert again.list_claims() == [claim]
    again.close()


@pytest.fixture
def owned(store: Store) -> Store:
    """Beside `masks`: `hers` and `open` of Alice, `his` of Bob, `inner` of the service."""
    store.put_collection(*make_collection("hers", "alice", private=True))
    store.put_collection(*make_collection("open", "alice"))
    store.put_collection(*make_collection("his", "bob", private=True))
    store.put_collection(*make_collection("inner", private=True))
    for number, name in enumerate(("masks", "hers", "open", "his", "inner")):
        items = [
            make_item(
                f"{name}-{day}", f"2024-03-{10 + day}T00:00:0{number}Z", **{f"only_{name}": 1}
            )
            for day in range(3)
        ]
        store.upsert_items(name, items)
    return store


SEEN = [
    (ANYBODY, {"masks", "open"}),
    (ALICE, {"masks", "open", "hers"}),
    (BOB, {"masks", "open", "his"}),
    (OPERATOR, {"masks", "open", "hers", "his", "inner"}),
]
ALL = {"masks", "hers", "open", "his", "inner"}


@pytest.mark.parametrize(("caller", "seen"), SEEN)
def test_caller_sees_public_and_own_collections(
    owned: Store, caller: Caller, seen: set[str]
) -> None:
    assert {one["id"] for one in owned.list_collections(caller)} == seen
    for name in seen:
        assert owned.get_collection(name, caller)["id"] == name
        assert owned.get_item(name, f"{name}-1", caller)["id"] == f"{name}-1"
        assert f"only_{name}" in owned.property_names(name, caller)
    for name in ALL - seen:
        for call in (owned.get_collection, owned.get_access, owned.property_names):
            with pytest.raises(NotInStoreError):
                call(name, caller)
        with pytest.raises(NotInStoreError):
            owned.get_item(name, f"{name}-1", caller)


def test_foreign_collection_is_said_to_be_missing_in_the_same_words(owned: Store) -> None:
    messages = []
    for name in ("hers", "nope"):
        with pytest.raises(NotInStoreError) as caught:
            owned.get_collection(name, BOB)
        messages.append(str(caught.value).replace(name, "NAME"))
    assert messages[0] == messages[1]


@pytest.mark.parametrize(("caller", "seen"), SEEN)
def test_caller_finds_and_counts_what_they_see(
    owned: Store, caller: Caller, seen: set[str]
) -> None:
    for conditions in ({}, {"bbox": (13, 45, 14, 46)}, {"collections": tuple(sorted(ALL))}):
        page = page_of(owned, caller=caller, **conditions)
        assert {one["collection"] for one in page.items} == seen
        assert page.n_matched == len(page.items) == 3 * len(seen)
    for name in ALL - seen:
        page = page_of(owned, caller=caller, collections=(name,))
        assert (page.items, page.n_matched) == ([], 0)
    names = set(owned.property_names(None, caller))
    assert {f"only_{name}" for name in ALL} & names == {f"only_{name}" for name in seen}


@pytest.mark.parametrize(("caller", "seen"), SEEN)
def test_caller_pages_through_what_they_see(owned: Store, caller: Caller, seen: set[str]) -> None:
    pages = all_pages(owned, ItemQuery(limit=2), caller)
    assert {len(page) for page in pages[:-1]} <= {2}
    found = [identifier for page in pages for identifier in page]
    assert sorted(found) == sorted(f"{name}-{day}" for name in seen for day in range(3))


def test_collection_made_private_is_gone_for_others(owned: Store) -> None:
    document, _ = make_collection("open")
    owned.put_collection(document, Access("alice", Visibility.PRIVATE))
    assert find(owned, collections=("open",), caller=BOB) == []
    assert len(find(owned, collections=("open",), caller=ALICE)) == 3
