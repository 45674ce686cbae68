"""Names of products, and which show one acquisition."""

from datetime import UTC, datetime

import pystac
import pytest

from kappamask_catalog.sources.naming import (
    acquisition_key,
    parse_product_name,
    product_name,
    product_version,
)

NAME = "S2B_MSIL2A_20240310T100021_N0510_R122_T33TVL_20240310T120000"
WHEN = datetime(2024, 3, 10, 10, 5, 33, tzinfo=UTC)
STRIP = "S2B_OPER_MSI_L2A_DS_2BPS_20240310T120000_S20240310T100533_N05.10"


def item(identifier: str, **properties: str) -> pystac.Item:
    given = {key.replace("__", ":"): value for key, value in properties.items()}
    return pystac.Item(identifier, None, None, WHEN, given)


def test_name_parts_are_read_from_a_path() -> None:
    name = parse_product_name(f"/data/{NAME}.SAFE/MTD_MSIL2A.xml")
    assert name is not None
    assert (name.text, name.level, name.baseline, name.tile) == (NAME, "L2A", "05.10", "33TVL")
    assert name.datatake == datetime(2024, 3, 10, 10, 0, 21, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "S2B_33TVL_20240310_0_L2A", NAME[:40], "S2_MSIL1C_x"])
def test_name_other_texts_hold_none(text: str) -> None:
    assert parse_product_name(text) is None


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (item("S2B_33TVL_20240310_0_L2A", s2__product_uri=f"{NAME}.SAFE"), NAME),
        (item(NAME), NAME),
        (item("S2B_33TVL_20240310_0_L2A"), "S2B_33TVL_20240310_0_L2A"),
        (item("x", product__id=NAME), NAME),
    ],
)
def test_product_name_is_what_the_item_tells_or_its_id(one: pystac.Item, expected: str) -> None:
    assert product_name(one) == expected


def test_acquisition_is_the_same_for_reprocessings_whatever_the_catalog() -> None:
    full = {
        "platform": "sentinel-2b", "grid:code": "MGRS-33TVL", "s2:datastrip_id": STRIP,
        "s2:datatake_id": "GS2B_20240310T100021_036612_N05.10",
    }  # fmt: skip
    again = {**full, "s2:datatake_id": "GS2B_20240310T100021_036612_N05.11"}
    other_name = NAME.replace("N0510", "N0511").replace("T120000", "T235959")
    expected = "s2b_33TVL_20240310T100021_20240310T100533"
    assert acquisition_key(full, NAME, WHEN) == expected
    assert acquisition_key(again, other_name, WHEN) == expected
    assert acquisition_key({}, NAME, WHEN) == expected


def test_acquisition_differs_by_datastrip() -> None:
    other = STRIP.replace("S20240310T100533", "S20240310T100511")
    keys = {acquisition_key({"s2:datastrip_id": strip}, NAME, WHEN) for strip in (STRIP, other)}
    assert len(keys) == 2


def test_versions_order_by_baseline_before_time_of_processing() -> None:
    late = product_version(
        {"s2:processing_baseline": "02.09", "s2:generation_time": "2025-01-01T00:00:00Z"}, NAME
    )
    named = product_version({}, NAME)
    later = product_version({"s2:generation_time": "2024-03-11T00:00:00Z"}, NAME)
    assert late < named < later
    assert str(named) == "05.10-20240310T120000"
    assert product_version({}, "nameless") < late
