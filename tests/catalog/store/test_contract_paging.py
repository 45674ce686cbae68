"""What every store promises: order, pages that stay stable, limits, counts."""

from dataclasses import replace
from typing import Any

import pytest
import shapely
from shapely.geometry import mapping

from kappamask_catalog.store.base import MAX_LIMIT, OPERATOR, ItemQuery, SortKey, Store
from kappamask_udf.errors import InvalidQueryError

from .items import all_pages, find, ids_of, make_collection, make_item, page_of

CLOUDS = {"a": 5, "b": None, "c": 70.5, "d": 5, "e": None, "f": 0}
WAYS: list[dict[str, Any]] = [
    {},
    {"bbox": (12, 44, 15, 47)},
    {"intersects": mapping(shapely.box(12, 44, 15, 47))},
    {"filter": {"op": "=", "args": [{"property": "platform"}, "sentinel-2a"]}},
    {"collections": ("masks",)},
]
"""Conditions that every item meets: pages must be the same whichever way they are found."""


def at(number: int) -> str:
    """A time on the way, later for larger numbers."""
    return f"2024-{1 + number // 28:02}-{1 + number % 28:02}T10:00:00Z"


@pytest.fixture
def filled(store: Store) -> Store:
    """Ten items a day apart, from `item-9`, the newest, to `item-0`."""
    store.upsert_items("masks", [make_item(f"item-{n}", at(100 + n)) for n in range(10)])
    return store


@pytest.fixture
def cloudy(store: Store) -> Store:
    """Items with the cloud cover of `CLOUDS`, `a` the oldest."""
    store.upsert_items(
        "masks",
        [
            make_item(name, at(number), eo__cloud_cover=cover, word=name.upper() * 2)
            for number, (name, cover) in enumerate(CLOUDS.items())
        ],
    )
    return store


def up(name: str) -> SortKey:
    return SortKey(name)


def down(name: str) -> SortKey:
    return SortKey(name, is_descending=True)


SORTS = [
    ((up("eo:cloud_cover"),), "fadcbe"),
    ((down("eo:cloud_cover"),), "cadfbe"),
    ((up("properties.eo:cloud_cover"),), "fadcbe"),
    ((up("eo:cloud_cover"), down("datetime")), "fdaceb"),
    ((down("eo:cloud_cover"), down("id")), "cdafeb"),
    ((up("datetime"),), "abcdef"),
    ((down("properties.datetime"),), "fedcba"),
    ((up("id"),), "abcdef"),
    ((down("id"),), "fedcba"),
    ((down("word"),), "fedcba"),
    ((up("collection"), down("id")), "fedcba"),
    ((up("nobody:has_it"),), "abcdef"),
    ((up("platform"), up("eo:cloud_cover")), "fadcbe"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("sort", "order"), SORTS)
def test_sort_puts_missing_values_last_and_id_decides(
    cloudy: Store, sort: tuple[SortKey, ...], order: str, way: dict[str, Any]
) -> None:
    assert "".join(find(cloudy, sort=sort, **way)) == order


@pytest.mark.parametrize("limit", [1, 2, 4, 6])
@pytest.mark.parametrize(("sort", "order"), SORTS)
def test_sorted_pages_together_are_the_whole(
    cloudy: Store, sort: tuple[SortKey, ...], order: str, limit: int
) -> None:
    pages = all_pages(cloudy, ItemQuery(sort=sort, limit=limit))
    assert pages == [list(order[first : first + limit]) for first in range(0, 6, limit)]


def test_pages_tell_same_ids_in_two_collections_apart(store: Store) -> None:
    store.put_collection(*make_collection("other"))
    for name in ("masks", "other"):
        store.upsert_items(name, [make_item("x"), make_item("y")])
    pages = all_pages(store, ItemQuery(limit=1))
    assert pages == [["x"], ["x"], ["y"], ["y"]]


@pytest.mark.parametrize("way", WAYS)
def test_pages_have_the_limit_and_the_whole_count(filled: Store, way: dict[str, Any]) -> None:
    query = ItemQuery(limit=4, **way)
    sizes, counts = [], []
    while True:
        page = filled.search(query, OPERATOR)
        sizes.append(len(page.items))
        counts.append(page.n_matched)
        if page.next_token is None:
            break
        query = replace(query, token=page.next_token)
    assert sizes == [4, 4, 2]
    assert counts == [10, 10, 10]


@pytest.mark.parametrize("way", WAYS)
def test_last_page_that_is_full_has_no_token(filled: Store, way: dict[str, Any]) -> None:
    assert page_of(filled, limit=10, **way).next_token is None
    assert [len(page) for page in all_pages(filled, ItemQuery(limit=5, **way))] == [5, 5]


@pytest.mark.parametrize("way", WAYS)
def test_pages_stay_stable_while_items_come_and_go(filled: Store, way: dict[str, Any]) -> None:
    query = ItemQuery(limit=3, **way)
    first = filled.search(query, OPERATOR)
    assert ids_of(first) == ["item-9", "item-8", "item-7"]

    # In front of what was given, between, and behind; and the last one given goes.
    filled.upsert_items(
        "masks",
        [make_item("front", at(150)), make_item("item-55", at(105)), make_item("end", at(0))],
    )
    filled.delete_items("masks", ["item-9", "item-7", "item-5"])
    second = filled.search(replace(query, token=first.next_token), OPERATOR)
    assert ids_of(second) == ["item-6", "item-55", "item-4"]
    assert second.n_matched == 10

    # What was given is replaced and stays where it was.
    filled.upsert_items("masks", [make_item("item-4", at(104), gsd=20)])
    third = filled.search(replace(query, token=second.next_token), OPERATOR)
    assert ids_of(third) == ["item-3", "item-2", "item-1"]
    fourth = filled.search(replace(query, token=third.next_token), OPERATOR)
    assert ids_of(fourth) == ["item-0", "end"]
    assert fourth.next_token is None


def test_page_behind_the_end_is_empty(filled: Store) -> None:
    page = page_of(filled, limit=9)
    filled.delete_items("masks", ["item-0"])
    last = page_of(filled, limit=9, token=page.next_token)
    assert (last.items, last.next_token, last.n_matched) == ([], None, 9)


def test_limit_may_change_between_pages(filled: Store) -> None:
    page = page_of(filled, limit=2)
    assert len(page_of(filled, limit=5, token=page.next_token).items) == 5


def test_limit_above_the_maximum_is_clamped(store: Store) -> None:
    item = make_item("x", where=(0, 0, 1, 1))
    item["assets"] = {}
    items = [{**item, "id": f"item-{number:05}"} for number in range(MAX_LIMIT + 1)]
    store.upsert_items("masks", items)
    page = page_of(store, limit=10 * MAX_LIMIT)
    assert len(page.items) == MAX_LIMIT
    assert page.n_matched == MAX_LIMIT + 1
    assert page_of(store, limit=10**30, token=page.next_token).items[0]["id"] == "item-10000"


OTHERS: list[dict[str, Any]] = [
    {"bbox": (0, 0, 50, 50)},
    {"sort": (up("datetime"),)},
    {"sort": (down("datetime"), up("gsd"))},
    {"collections": ("masks",)},
    {"filter": {"op": "=", "args": [{"property": "platform"}, "sentinel-2a"]}},
    {"ids": ("item-1", "item-2")},
]


@pytest.mark.parametrize("other", OTHERS)
def test_token_of_another_search_is_refused(filled: Store, other: dict[str, Any]) -> None:
    token = page_of(filled, limit=2).next_token
    with pytest.raises(InvalidQueryError, match="token"):
        page_of(filled, limit=2, token=token, **other)
    token = page_of(filled, limit=1, **other).next_token
    assert token is not None
    with pytest.raises(InvalidQueryError, match="token"):
        page_of(filled, limit=2, token=token)


def test_token_that_was_changed_is_refused(filled: Store) -> None:
    token = page_of(filled, limit=2).next_token
    assert token is not None
    for bad in (token[:-2], token + "AA", "A" + token[1:], token.swapcase(), "%" * len(token)):
        with pytest.raises(InvalidQueryError, match="token"):
            page_of(filled, limit=2, token=bad)
