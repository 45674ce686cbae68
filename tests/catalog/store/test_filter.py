"""CQL2 filters of all stores: the same answers as the `cql2` package, and what it lacks."""

import json
from collections.abc import Iterator
from typing import Any

import cql2
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st
from shapely.geometry import mapping

from kappamask_catalog.store.base import Document, Store
from kappamask_udf.errors import InvalidQueryError

from .items import find, make_collection, make_item
from .places import Place

ITEMS = [
    make_item(
        "one", "2024-03-10T10:00:21Z", (13, 45, 14, 46), n=5, m=7.5, yes=True, word="Ärger",
        same="Ärger", list=["a", "b"], numbers=[1, 2.5], nested={"x": 3}, eo__cloud_cover=12.5,
    ),
    make_item(
        "two", "2024-03-12T00:00:00Z", (13.5, 45.5, 16, 47), n=-3, m=0.0, yes=False, word="a_b%",
        same="other", list=["b"], numbers=[], nested={"x": -1}, eo__cloud_cover=0,
    ),
    make_item(
        "six", "2020-01-01T00:00:00Z", shapely.Point(13.5, 45.5), n=0, m=-2.25, yes=True, word="",
        same="", list=[], numbers=[2], nested={"x": 0}, eo__cloud_cover=100,
    ),
]  # fmt: skip
BOX = mapping(shapely.box(13.25, 45.25, 13.5, 45.5))
AROUND = mapping(shapely.box(10, 40, 20, 50))


@pytest.fixture(scope="module", params=["sqlite", "pgstac"])
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    if request.param == "sqlite":
        location = str(tmp_path_factory.mktemp("filter") / "store.sqlite")
    else:
        location = request.getfixturevalue("pgstac_module_dsn")
    store = Place(request.param, location).open()
    store.put_collection(*make_collection("masks"))
    store.upsert_items("masks", ITEMS)
    yield store
    store.close()


def prop(name: str) -> dict[str, str]:
    return {"property": name}


def cql(operator: str, *arguments: Any) -> dict[str, Any]:
    return {"op": operator, "args": list(arguments)}


def stamp(text: str) -> dict[str, str]:
    return {"timestamp": text}


def span(start: Any, end: Any) -> dict[str, Any]:
    return {"interval": [start, end]}


def matching(document: Any) -> set[str]:
    """Ids of the items that match by the `cql2` package."""
    expression = cql2.Expr(document)
    return {item["id"] for item in ITEMS if expression.matches(item)}


NOON = "2024-03-10T10:00:21Z"
SPANS = [
    span("2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z"),
    span("2024-03-01T00:00:00Z", ".."),
    span("..", "2024-03-11T00:00:00Z"),
    span(NOON, "2024-04-01T00:00:00Z"),
    span("2024-03-01T00:00:00Z", NOON),
    span(NOON, NOON),
]
TEMPORAL = [
    "t_after", "t_before", "t_contains", "t_disjoint", "t_during", "t_equals", "t_finishedBy",
    "t_finishes", "t_intersects", "t_meets", "t_metBy", "t_overlappedBy", "t_overlaps",
    "t_startedBy", "t_starts",
]  # fmt: skip
SPATIAL = [
    "s_contains", "s_crosses", "s_disjoint", "s_equals", "s_intersects", "s_overlaps", "s_touches",
    "s_within",
]  # fmt: skip
SAME = [
    True,
    False,
    prop("yes"),
    cql("not", prop("yes")),
    cql("=", prop("yes"), True),
    cql("=", prop("n"), 5),
    cql("=", prop("n"), 5.0),
    cql("=", prop("properties.n"), 5),
    cql(">", prop("m"), prop("n")),
    cql("=", prop("word"), prop("same")),
    cql("=", prop("nested.x"), 3),
    cql("<", prop("eo:cloud_cover"), 50),
    cql("<", 50, prop("eo:cloud_cover")),
    cql("in", prop("eo:cloud_cover"), [0, 12.5]),
    cql("=", prop("grid:code"), "MGRS-33TVL"),
    cql("like", prop("grid:code"), "MGRS-33%"),
    cql("isNull", prop("missing")),
    cql("isNull", prop("n")),
    cql("=", prop("id"), "one"),
    cql("=", prop("collection"), "masks"),
    cql("=", prop("datetime"), stamp(NOON)),
    cql("=", prop("datetime"), stamp("2024-03-10T10:00:21.000Z")),
    cql(">", prop("datetime"), stamp("2024-03-01T00:00:00Z")),
    cql("like", prop("word"), "Ä%"),
    cql("like", prop("word"), "ä%"),
    cql("like", prop("word"), "_rger"),
    cql("like", prop("word"), "a\\_b\\%"),
    cql("like", cql("casei", prop("word")), cql("casei", "äR%")),
    cql("=", cql("accenti", prop("word")), cql("accenti", "Arger")),
    cql("=", cql("casei", cql("accenti", prop("word"))), cql("casei", cql("accenti", "àRGER"))),
    cql("=", cql("/", prop("n"), 2), 2.5),
    cql("=", cql("%", prop("n"), 3), 2),
    cql("=", cql("%", prop("n"), 2), -1),
    cql("=", cql("^", prop("n"), 2), 25),
    cql("=", cql("div", prop("m"), 2), 3),
    cql("=", cql("div", prop("n"), 2), -1),
    *(
        cql(operator, prop("list"), other)
        for operator in ("a_contains", "a_containedBy", "a_equals", "a_overlaps")
        for other in (["a"], ["b", "a"], ["a", "b", "c"], ["b"], ["z"])
    ),
    cql("a_contains", prop("numbers"), [1]),
    cql("a_overlaps", prop("numbers"), [2.5, 7]),
    *(cql(operator, prop("geometry"), one) for operator in SPATIAL for one in (BOX, AROUND)),
    *(cql(operator, BOX, prop("geometry")) for operator in ("s_within", "s_contains")),
    cql("s_intersects", prop("geometry"), {"bbox": [13.2, 45.2, 13.4, 45.4]}),
    *(cql(operator, prop("datetime"), one) for operator in TEMPORAL for one in SPANS),
    *(cql(operator, prop("datetime"), stamp(NOON)) for operator in ("t_after", "t_before")),
]


@pytest.mark.parametrize("document", SAME, ids=lambda one: json.dumps(one)[:60])
def test_filter_finds_what_the_cql2_package_matches(filled: Store, document: Any) -> None:
    assert set(find(filled, filter=document)) == matching(document)


NUMBERS = st.one_of(st.integers(-9, 9), st.integers(-20, 20).map(lambda one: one / 4))
TEXTS = st.text("aAbÄ_%\\'\" ", max_size=5)
# Without backslashes at the end: what these escape is not defined.
PATTERNS = st.lists(st.sampled_from(["a", "Ä", "b", "%", "_", "\\%", "\\_", "r"]), max_size=6)


def binary(operators: list[str], operands: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(cql, st.sampled_from(operators), operands, operands)


def prop_of(*names: str) -> st.SearchStrategy[dict[str, str]]:
    return st.sampled_from(names).map(prop)


NUMERIC = st.recursive(
    st.one_of(NUMBERS, prop_of("n", "m", "nested.x", "eo:cloud_cover")),
    lambda inner: binary(["+", "-", "*"], inner),
    max_leaves=4,
)
TEXTUAL = st.recursive(
    st.one_of(TEXTS, prop_of("word", "same", "id", "platform")),
    lambda inner: st.builds(cql, st.sampled_from(["casei", "accenti"]), inner),
    max_leaves=2,
)
COMPARISONS = ["=", "<>", "<", "<=", ">", ">="]
PREDICATES = st.recursive(
    st.one_of(
        binary(COMPARISONS, NUMERIC),
        binary(COMPARISONS, TEXTUAL),
        st.builds(cql, st.just("between"), NUMERIC, NUMERIC, NUMERIC),
        # No products: -0.0 is not in [0] for the package.
        st.builds(cql, st.just("in"), prop_of("n", "m"), st.lists(NUMBERS, min_size=1, max_size=4)),
        st.builds(cql, st.just("in"), TEXTUAL, st.lists(TEXTS, min_size=1, max_size=4)),
        st.builds(cql, st.just("like"), st.just(prop("word")), PATTERNS.map("".join)),
        st.just(prop("yes")),
    ),
    lambda inner: st.one_of(binary(["and", "or"], inner), st.builds(cql, st.just("not"), inner)),
    max_leaves=8,
)


@given(document=PREDICATES)
@example(document=cql("not", cql("like", prop("word"), "")))
def test_filter_of_any_shape_finds_what_the_cql2_package_matches(
    filled: Store, document: dict[str, Any]
) -> None:
    assert set(find(filled, filter=document)) == matching(document)


ALL = {"one", "two", "six"}


@pytest.mark.parametrize(
    ("document", "found"),
    [
        # What is missing, or of another kind, is neither true nor false.
        (cql("=", prop("missing"), 5), set()),
        (cql("<>", prop("missing"), 5), set()),
        (cql("not", cql("=", prop("missing"), 5)), set()),
        (cql("or", cql("=", prop("missing"), 5), cql("=", prop("n"), 5)), {"one"}),
        (cql("=", prop("n"), "5"), set()),
        (cql(">", prop("word"), 1), set()),
        (cql("not", cql(">", prop("word"), 1)), set()),
        (cql("=", prop("n"), True), set()),
        (cql("like", prop("n"), "%"), set()),
        (cql("a_contains", prop("word"), ["Ä"]), set()),
        (cql("=", cql("/", prop("n"), 0), 1), set()),
        (cql("=", cql("^", 10, 400), 1), set()),
        # Names.
        (cql("=", prop("kappamask:class_percentages.cloud"), 20), ALL),
        (cql("isNull", prop("kappamask:class_percentages")), set()),
        (cql("isNull", prop("geometry")), set()),
        (cql("isNull", prop("nested.y")), ALL),
        # Times: plain texts as STAC clients write them, other zones, dates, other properties.
        (cql(">=", prop("datetime"), "2024-03-10T12:00:21+02:00"), {"one", "two"}),
        (cql(">", prop("datetime"), "2024-03-11"), {"two"}),
        (cql(">", prop("datetime"), {"date": "2024-03-11"}), {"two"}),
        (cql(">", prop("created"), stamp("2026-01-02T04:04:05+01:01")), ALL),
        (cql("t_before", prop("created"), {"date": "2026-01-02"}), set()),
        (cql("t_during", prop("datetime"), {"date": "2024-03-10"}), {"one"}),
        (cql("t_intersects", prop("datetime"), span("2024-03-10", "2024-03-11")), {"one"}),
        (cql("t_after", prop("datetime"), {"date": "2024-03-10"}), {"two"}),
        (cql("t_contains", span(prop("datetime"), prop("created")), {"date": "2025-01-01"}), ALL),
        (cql("between", prop("datetime"), stamp("2024-03-01T00:00:00Z"), stamp(NOON)), {"one"}),
        (cql("t_equals", span("..", ".."), span("..", "..")), ALL),
        # Geometries, on either side, without the item's, across the antimeridian.
        (cql("s_intersects", BOX, BOX), ALL),
        (cql("s_equals", prop("geometry"), prop("geometry")), ALL),
        (cql("s_disjoint", prop("geometry"), {"bbox": [170, -10, -170, 10]}), ALL),
        (cql("s_intersects", prop("geometry"), {"bbox": [15, 40, -170, 60]}), {"two"}),
        (cql("s_intersects", prop("geometry"), {"bbox": [15, 40, 0, 16, 60, 9]}), {"two"}),
        # Arrays: 1 is 1.0, and not true.
        (cql("a_contains", prop("numbers"), [1.0]), {"one"}),
        (cql("a_contains", prop("numbers"), [True]), set()),
        (cql("a_contains", ["a", "b", "c"], prop("list")), ALL),
        # Shapes that are legal, if odd.
        (cql("and", cql("=", prop("n"), 5)), {"one"}),
        (cql("in", prop("n"), []), set()),
        (cql("in", prop("yes"), [True]), {"one", "six"}),
        (cql("in", prop("datetime"), [stamp(NOON)]), {"one"}),
        (cql("in", cql("casei", prop("word")), [cql("casei", "ÄRGER")]), {"one"}),
        (cql("<", prop("n"), 10**30), ALL),
        (cql("like", prop("word"), "a[_b"), set()),
        (cql("like", prop("word"), "*"), set()),
        (cql("like", prop("word"), "%" * 40_000), ALL),
        (cql("or", *(cql("=", prop("n"), number) for number in range(1, 5000))), {"one"}),
        (cql("in", prop("word"), [f"word {number}" for number in range(10_000)] + [""]), {"six"}),
    ],
    ids=lambda one: json.dumps(one)[:60] if isinstance(one, dict) else "",
)  # fmt: skip
def test_filter_finds(filled: Store, document: dict[str, Any], found: set[str]) -> None:
    assert set(find(filled, filter=document)) == found


def nested(depth: int) -> dict[str, Any]:
    document = cql("=", prop("n"), 5)
    for _ in range(depth):
        document = cql("not", document)
    return document


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({}, "{}"),
        ("n = 5", "n = 5"),
        ([], r"\[\]"),
        (None, "None"),
        (5, "5"),
        ({"args": [1]}, "args"),
        ({"op": 5, "args": []}, "5"),
        ({"op": "="}, "args"),
        ({"op": "=", "args": "n"}, "args"),
        (cql("=", 1), "takes 2 arguments, found 1"),
        (cql("not", True, True), "takes 1 arguments, found 2"),
        (cql("and"), "at least 1"),
        (cql("nearly", 1, 2), "nearly"),
        (cql("=", cql("sqrt", 4), 2), "sqrt"),
        ({"function": {"name": "f", "args": []}}, "function"),
        (cql("=", prop("n"), None), "isNull"),
        (cql("=", prop("n"), [1]), r"\[1\]"),
        (cql("=", prop("n"), {"type": "Point", "coordinates": [1, 2]}), "Point"),
        (cql("=", 5, "five"), "number with text"),
        (cql("in", prop("n"), [5, "five"]), "number with text"),
        (cql("in", prop("n"), 5), "list"),
        (cql("=", prop("id"), 5), "number with text"),
        (cql("<", prop("yes"), True), "no order"),
        (cql("+", 1, 2), r"\+"),
        (cql("=", cql("+", prop("n"), "x"), 2), "'x'"),
        (cql("=", cql("casei", 5), "x"), "5"),
        (cql("like", prop("word"), 5), "5"),
        (cql("like", prop("word"), prop("same")), "same"),
        (prop("datetime"), "datetime"),
        (prop("geometry"), "geometry"),
        (cql("=", prop("geometry"), 5), "geometry"),
        ({"op": "=", "args": [{"property": 5}, 5]}, "5"),
        (cql("=", prop(""), 5), "''"),
        (cql("=", prop('n" OR 1'), 5), "OR 1"),
        (cql(">", prop("datetime"), stamp("yesterday")), "yesterday"),
        (cql(">", prop("datetime"), "yesterday"), "yesterday"),
        (cql(">", prop("datetime"), stamp("2024-03-10")), "write date"),
        (cql(">", prop("datetime"), {"date": "2024-02-30"}), "2024-02-30"),
        (cql("t_during", prop("datetime"), span("..", "soon")), "soon"),
        (cql("t_during", prop("datetime"), {"interval": ["2024-03-10"]}), "interval"),
        (cql("t_after", prop("id"), stamp(NOON)), "id"),
        (cql("t_after", prop("geometry"), stamp(NOON)), "geometry"),
        (cql("s_intersects", prop("n"), BOX), "n is"),
        (cql("s_intersects", prop("geometry"), "POINT (1 2)"), "POINT"),
        (cql("s_intersects", prop("geometry"), {"bbox": [1, 2, 3]}), "4 or 6"),
        (cql("s_intersects", prop("geometry"), {"type": "Point", "coordinates": []}), "Point"),
        (cql("s_dwithin", prop("geometry"), BOX), "s_dwithin"),
        (cql("a_contains", prop("list"), "a"), "'a'"),
        (cql("a_contains", prop("id"), ["a"]), "id"),
        (cql("a_contains", prop("list"), [prop("n")]), "property"),
        (nested(200), "deep"),
        (cql("in", prop("n"), list(range(40_000))), r"4000\d values"),
    ],
    ids=lambda one: json.dumps(one)[:60] if not isinstance(one, str) else "",
)  # fmt: skip
def test_filter_that_is_not_understood_names_what(filled: Store, document: Any, named: str) -> None:
    with pytest.raises(InvalidQueryError, match=named):
        find(filled, filter=document if document is not None else {"op": None})


EVIL = [
    "'; DROP TABLE items; --",
    '"; DROP TABLE items; --',
    "') OR 1 = 1 --",
    "?",
    "{}",
    "{0}",
    "$.n",
    "%s",
    "\x00",
    "\ud800",
]


@pytest.mark.parametrize("evil", EVIL)
def test_values_and_names_never_become_sql(filled: Store, evil: str) -> None:
    documents: list[Document] = [
        cql("=", prop("word"), evil),
        cql("like", prop("word"), evil),
        cql("in", prop("word"), [evil]),
        cql("=", prop(evil), 5),
        cql("=", prop(f"a.{evil}"), 5),
        cql("a_contains", prop("list"), [evil]),
        cql("=", cql("casei", prop("word")), cql("casei", evil)),
    ]
    for document in documents:
        try:
            assert find(filled, filter=document) == []
        except InvalidQueryError:
            continue
    assert set(find(filled)) == ALL


def test_filter_with_boxes_first_finds_the_same(filled: Store) -> None:
    document = cql("and", cql("s_intersects", prop("geometry"), BOX), cql("<", prop("n"), 5))
    assert find(filled, filter=document) == ["two", "six"]
    assert find(filled, filter=document, bbox=(13, 45, 13.5, 45.5)) == ["two", "six"]
    assert find(filled, filter=document, bbox=(15, 45, 16, 46)) == ["two"]
