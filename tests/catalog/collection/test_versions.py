"""Masks of one acquisition: which is in use, and how the others point to it."""

import random
from typing import Any

from kappamask_catalog.collection.versions import chain_versions
from tests.catalog.store.items import make_item


def mask(baseline: str, generated: str, model: str = "m", version: str = "1.0") -> dict[str, Any]:
    name = f"S2A_MSIL1C_20240310T100021_N{baseline.replace('.', '')}_R122_T33TVL_{generated}"
    return make_item(
        f"{name}_{model}_v{version}", kappamask__product=name, kappamask__model=model,
        kappamask__model_version=version, s2__processing_baseline=baseline,
    )  # fmt: skip


def chained(*items: dict[str, Any]) -> dict[str, dict[str, Any]]:
    changed = {one["id"]: one for one in chain_versions(items)}
    return {one["id"]: changed.get(one["id"], one) for one in items}


def related(item: dict[str, Any], relation: str) -> list[str]:
    return [link["href"].rpartition("/")[2] for link in item["links"] if link["rel"] == relation]


OLD = mask("02.09", "20240310T120000")
AGAIN = mask("05.10", "20240311T120000")
NEWEST = mask("05.10", "20240401T120000")


def test_newest_baseline_then_newest_processing_is_in_use() -> None:
    result = chained(NEWEST, OLD, AGAIN)
    assert "deprecated" not in result[NEWEST["id"]]["properties"]
    assert result[OLD["id"]]["properties"]["deprecated"]
    assert result[AGAIN["id"]]["properties"]["deprecated"]
    assert related(result[OLD["id"]], "successor-version") == [AGAIN["id"]]
    assert related(result[OLD["id"]], "latest-version") == [NEWEST["id"]]
    assert related(result[NEWEST["id"]], "predecessor-version") == [AGAIN["id"]]
    assert related(result[NEWEST["id"]], "latest-version") == []


def test_order_and_repetition_play_no_role() -> None:
    members = [OLD, AGAIN, NEWEST]
    expected = chained(*members)
    for seed in range(6):
        shuffled = random.Random(seed).sample(members, 3)
        assert chained(*shuffled) == expected
    assert chain_versions(expected.values()) == []


def test_taking_the_newest_away_brings_the_one_before_back() -> None:
    result = chained(OLD, AGAIN, NEWEST)
    rest = chained(result[OLD["id"]], result[AGAIN["id"]])
    assert "deprecated" not in rest[AGAIN["id"]]["properties"]
    assert related(rest[AGAIN["id"]], "latest-version") == []
    assert related(rest[OLD["id"]], "latest-version") == [AGAIN["id"]]


def test_versions_of_a_model_stand_side_by_side() -> None:
    first = mask("05.10", "20240401T120000", version="1.9")
    second = mask("05.10", "20240401T120000", version="1.10")
    result = chained(second, first)
    assert not any("deprecated" in one["properties"] for one in result.values())
    assert related(result[first["id"]], "latest-version") == [second["id"]]


def test_other_models_and_profiles_are_chains_of_their_own() -> None:
    other = mask("02.09", "20240310T120000", model="other")
    way = mask("02.09", "20240310T120000")
    way = {**way, "id": "way", "properties": {**way["properties"], "kappamask:profile": "original"}}
    assert chain_versions([NEWEST, other, way]) == []


def test_items_without_another_version_are_left_as_they_are() -> None:
    assert chain_versions([OLD]) == []
