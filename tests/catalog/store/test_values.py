"""Times and geometries of documents and queries."""

from datetime import UTC, datetime
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import mapping

from kappamask_catalog.store.values import (
    box_geometry,
    from_microseconds,
    parse_date,
    parse_geometry,
    parse_time,
    split_bbox,
    split_boxes,
    to_microseconds,
)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-03-10T10:00:21Z", datetime(2024, 3, 10, 10, 0, 21, tzinfo=UTC)),
        ("2024-03-10t10:00:21z", datetime(2024, 3, 10, 10, 0, 21, tzinfo=UTC)),
        ("2024-03-10 10:00:21.5Z", datetime(2024, 3, 10, 10, 0, 21, 500_000, tzinfo=UTC)),
        ("2024-03-10T10:00:21.1234567Z", datetime(2024, 3, 10, 10, 0, 21, 123_456, tzinfo=UTC)),
        ("2024-03-10T12:00:21+02:00", datetime(2024, 3, 10, 10, 0, 21, tzinfo=UTC)),
        ("2024-03-10T10:00:21", None),
        ("2024-03-10", None),
        ("2024-02-30T10:00:21Z", None),
        ("2024-03-10T10:00:21Z/..", None),
        ("٢٠٢٤-03-10T10:00:21Z", None),
        (20240310, None),
        (None, None),
    ],
)
def test_time_is_of_rfc_3339(text: object, time: datetime | None) -> None:
    assert parse_time(text) == time


@pytest.mark.parametrize("text", ["2024-02-30", "2024-3-1", "2024-03-10T10:00:21Z", 5, None])
def test_date_that_is_none_is_none(text: object) -> None:
    assert parse_date(text) is None


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_are_the_time(time: datetime) -> None:
    assert from_microseconds(to_microseconds(time)) == time


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("POINT (1 2)", "object, found 'POINT"),
        ({"type": "Circle"}, "Circle"),
        ({"type": ["Point"]}, "Point"),
        ({"type": "Point"}, "wrong: key 'coordinates' not found"),
        ({"type": "Point", "coordinates": ["a", "b"]}, "wrong: type must be number"),
        ({"type": "Point", "coordinates": [float("nan"), 1]}, "number"),
        ({"type": "Point", "coordinates": [10**30, 1]}, "64-bit"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1]]]}, "wrong: Points of Lin"),
        ({"type": "Polygon", "coordinates": []}, "no coordinates"),
        ({"type": "GeometryCollection", "geometries": [{"type": "Feature"}]}, "Unknown"),
    ],
)
def test_geometry_that_is_none_says_why(document: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_geometry(document)


@pytest.mark.parametrize(
    ("geometry", "boxes"),
    [
        (shapely.box(1, 2, 3, 4), [(1, 2, 3, 4)]),
        (shapely.box(-170, 0, 170, 1), [(-170, 0, 170, 1)]),
        (
            shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -178, 2)]),
            [(179, 0, 180, 1), (-180, 0, -178, 2)],
        ),
        (
            # Two parts far from each other, not cut at the antimeridian: two tight boxes too.
            shapely.MultiPoint([(-100, 0), (100, 0)]),
            [(100, 0, 100, 0), (-100, 0, -100, 0)],
        ),
        (
            shapely.MultiPolygon([shapely.box(-180, 0, 1, 1), shapely.box(10, 0, 180, 1)]),
            [(-180, 0, 180, 1)],
        ),
        (shapely.MultiPoint([(1, 1), (2, 2)]), [(1, 1, 2, 2)]),
    ],
)
def test_boxes_hold_the_geometry(
    geometry: shapely.Geometry, boxes: list[tuple[float, ...]]
) -> None:
    assert list(split_boxes(geometry)) == boxes
    around = shapely.union_all([box_geometry(box) for box in split_boxes(geometry)])
    assert shapely.covers(around, geometry)


@pytest.mark.parametrize(
    ("bbox", "boxes"),
    [
        ((1, 2, 3, 4), [(1, 2, 3, 4)]),
        ([1, 2, -5, 3, 4, 5], [(1, 2, 3, 4)]),
        ((170, 2, -170, 4), [(170, 2, 180, 4), (-180, 2, -170, 4)]),
        ((170, 2, 190, 4), [(170, 2, 180, 4), (-180, 2, -170, 4)]),
        ((-190, 2, -170, 4), [(170, 2, 180, 4), (-180, 2, -170, 4)]),
        ((181, 2, 190, 4), [(-179, 2, -170, 4)]),
        ((-180, 2, 180, 4), [(-180, 2, 180, 4)]),
        ((-200, 2, 200, 4), [(-180, 2, 180, 4)]),
    ],
)
def test_bbox_is_one_box_or_two(bbox: Any, boxes: list[tuple[float, ...]]) -> None:
    assert list(split_bbox(bbox)) == boxes


@pytest.mark.parametrize(
    ("bbox", "reason"),
    [
        ((1, 2, 3), "4 or 6 numbers"),
        ((1, 2, 3, 4, 5), "4 or 6 numbers"),
        ((1, 2, 3, 4, 5, 6, 7), "4 or 6 numbers"),
        ((1, 2, 3, "4"), "4 or 6 numbers"),
        ((1, 2, 3, True), "4 or 6 numbers"),
        ((1, 2, 3, float("inf")), "4 or 6 numbers"),
        ("1,2,3,4", "4 or 6 numbers"),
        ((1, 5, 3, 4), r"south \(5\) above its north \(4\)"),
    ],
)
def test_bbox_that_is_none_says_why(bbox: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        split_bbox(bbox)


@pytest.mark.parametrize(
    ("box", "kind"),
    [((1, 2, 1, 2), "Point"), ((1, 2, 3, 2), "LineString"), ((1, 2, 3, 4), "Polygon")],
)
def test_box_without_area_is_a_line_or_a_point(box: Any, kind: str) -> None:
    geometry = box_geometry(box)
    assert geometry.geom_type == kind
    assert geometry.bounds == box
    assert parse_geometry(mapping(geometry)).equals(geometry)
