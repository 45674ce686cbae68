"""Validation finds what is wrong, and needs no network (the tests have none)."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kappamask_catalog.publish.item import MaskRecord, build_mask_item
from kappamask_catalog.publish.validation import local_schema_uris, validate_item
from kappamask_udf.models import load_registry

Document = dict[str, Any]


@pytest.fixture
def document(make_record: Callable[..., MaskRecord]) -> Document:
    item = build_mask_item(make_record(), Path("/results")).to_dict(include_self_link=False)
    return copy.deepcopy(item)


def test_validate_item_object_is_taken_too(make_record: Callable[..., MaskRecord]) -> None:
    assert validate_item(build_mask_item(make_record(), Path("/results"))) == []


BREAKS: list[tuple[str, Any, str]] = [
    ("properties/datetime", "yesterday", "properties/datetime"),
    ("properties/created", "2026-13-01T00:00:00Z", "properties/created"),
    ("properties/eo:cloud_cover", 101, "eo/v1.1.0"),
    ("properties/proj:shape", [1], "projection/v2.0.0"),
    ("properties/grid:code", "33 TVL", "grid/v1.1.0"),
    ("properties/view:sun_elevation", 91, "view/v1.0.0"),
    ("properties/s2:invented", 1, "sentinel-2/v1.0.0"),
    ("properties/sat:orbit_state", "up", "sat/v1.0.0"),
    ("properties/processing:software", "kappamask", "processing/v1.2.0"),
    ("assets/mask/file:checksum", "sha256:12", "file/v2.1.0"),
    ("assets/mask/raster:sampling", "line", "raster/v2.0.0"),
    ("assets/mask/raster:bands", [{}], "raster/v2.0.0"),
    ("assets/mask/classification:classes", [{"value": 1}], "classification/v2.0.0"),
    ("assets/mask/data_type", "byte", "data_type"),
    ("bbox", [0, 1], "bbox"),
    ("links", None, "links"),
    ("id", 7, "id"),
]


@pytest.mark.parametrize(("path", "value", "expected"), BREAKS)
def test_validate_broken_item_is_found(
    document: Document, path: str, value: Any, expected: str
) -> None:
    *parents, name = path.split("/")
    place = document
    for parent in parents:
        place = place[parent]
    place[name] = value
    problems = validate_item(document)
    assert any(expected in problem for problem in problems), problems


def test_validate_unknown_extension_is_a_problem(document: Document) -> None:
    uri = "https://stac-extensions.github.io/timestamps/v1.1.0/schema.json"
    document["stac_extensions"].append(uri)
    assert validate_item(document) == [f"stac_extensions: there is no local schema of {uri}"]


def test_validate_other_stac_version_is_a_problem(document: Document) -> None:
    document["stac_version"] = "1.0.0"
    assert validate_item(document) == ["stac_version: '1.0.0' is not 1.1.0"]


def test_validate_what_is_no_stac_is_a_problem() -> None:
    assert validate_item({"type": "Topology", "stac_version": "1.1.0"}) == [
        "type: not a STAC document"
    ]


def test_validate_projjson_is_looked_up_on_this_machine(document: Document) -> None:
    document["properties"]["proj:projjson"] = {"type": "GeographicCRS"}
    assert any("proj:projjson" in problem for problem in validate_item(document))


@pytest.mark.parametrize("name", sorted(one.spec.name for one in load_registry()))
def test_validate_model_items_are_valid(name: str) -> None:
    assert validate_item(load_registry().get(name).spec.item) == []


def test_validate_model_item_without_bands_is_found() -> None:
    item = json.loads(json.dumps(load_registry().get("ukis-csmask-6b-l1c").spec.item))
    del item["properties"]["mlm:input"][0]["bands"]
    assert any("mlm" in problem for problem in validate_item(item))


def test_schemas_are_of_extensions_only() -> None:
    uris = local_schema_uris()
    assert len(uris) == len(set(uris))
    assert all(uri.startswith("https://stac-extensions.github.io/") for uri in uris)
