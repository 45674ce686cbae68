"""Who sees what: foreign collections are not there, wherever one asks."""

import pytest
from fastapi import FastAPI

from tests.catalog.stac_api.conftest import SERIES
from tests.catalog.stac_api.tester import ApiTester, ids

FOREIGN = "masks-of-bob"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (None, ["kappamask-l1c"]),
        ("ann", ["kappamask-l1c", "masks-of-ann"]),
        ("operator", ["kappamask-l1c", "masks-of-ann", "masks-of-bob"]),
    ],
)
def test_collections_are_those_that_the_caller_sees(
    app: FastAPI, user: str | None, expected: list[str]
) -> None:
    api = ApiTester(app, user)
    page = api.get("/collections")
    assert [one["id"] for one in page["collections"]] == expected
    assert page["numberMatched"] == len(expected)
    assert api.get("/queryables")["properties"]["collection"]["enum"] == expected


@pytest.mark.parametrize("path", ["", "/items", "/items/bob-0", "/queryables"])
def test_foreign_collection_is_answered_like_one_that_is_not_there(
    ann: ApiTester, path: str
) -> None:
    foreign = ann.assert_error("GET", f"/collections/{FOREIGN}{path}", 404, "NotFound")
    missing = ann.assert_error("GET", f"/collections/nothing{path}", 404, "NotFound")
    assert foreign.replace(FOREIGN, "nothing") == missing


@pytest.mark.parametrize(
    "body",
    [
        {"collections": [FOREIGN]},
        {"ids": ["bob-0"]},
        {"filter": {"op": "=", "args": [{"property": "collection"}, FOREIGN]}},
        {"filter": {"op": "=", "args": [{"property": "id"}, "bob-0"]}},
    ],
)
def test_search_foreign_items_are_neither_given_nor_counted(ann: ApiTester, body: dict) -> None:
    page = ann.search(**body)
    assert page["features"] == []
    assert page["numberMatched"] == 0


def test_search_paging_and_counts_are_of_what_the_caller_sees(
    api: ApiTester, ann: ApiTester
) -> None:
    for tester, count in ((api, SERIES), (ann, SERIES + 2)):
        pages = list(tester.pages(tester.search(limit=4)))
        names = [name for page in pages for name in ids(page)]
        assert len(names) == len(set(names)) == count
        assert {page["numberMatched"] for page in pages} == {count}


def test_search_token_of_somebody_else_shows_nothing_foreign(app: FastAPI, api: ApiTester) -> None:
    operator = ApiTester(app, "operator")
    first = operator.search(limit=1, sortby=[{"field": "id", "direction": "asc"}])
    (link,) = [one for one in first["links"] if one["rel"] == "next"]
    response = api.request("POST", "/search", json={**link["body"], "limit": 100})
    assert response.status_code in (200, 400)
    assert FOREIGN not in response.text
