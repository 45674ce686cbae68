"""Documents of the collections of masks."""

import pytest

from kappamask_catalog.collection.documents import build_collection, extend_collection
from kappamask_catalog.publish.validation import validate_item
from kappamask_udf.classes import MaskClass
from kappamask_udf.deeplab.convert import read_template
from kappamask_udf.models import load_registry
from kappamask_udf.pixels import Level
from tests.catalog.store.items import make_item

MODELS = [model.spec for model in load_registry()] + [read_template("L1C"), read_template("L2A")]


def models_of(level: Level) -> list[object]:
    return [model for model in MODELS if model.level == level]


@pytest.mark.parametrize("level", ["L1C", "L2A"])
def test_collection_is_valid_by_the_schemas_of_all_its_extensions(level: Level) -> None:
    document = build_collection(level, models_of(level), "Example")  # type: ignore[arg-type]
    assert validate_item(document) == []
    assert document["id"] == f"kappamask-{level.lower()}"
    names = [provider["name"] for provider in document["providers"]]
    assert names[0] == "ESA"
    assert names[-1] == "Example"
    assert len(set(names)) == len(names)


def test_collection_tells_classes_colours_and_what_to_cite() -> None:
    document = build_collection("L1C", models_of("L1C"))  # type: ignore[arg-type]
    mask = document["item_assets"]["mask"]
    assert [one["value"] for one in mask["classification:classes"]] == list(range(6))
    assert document["renders"]["classes"]["colormap"]["4"] == [255, 255, 255, 255]
    assert [band["name"] for band in document["item_assets"]["probabilities"]["bands"]] == [
        one.stac_name for one in MaskClass
    ]
    assert "10.3390/rs13204100" in [one["doi"] for one in document["sci:publications"]]
    links = {(link["rel"], link["href"]) for link in document["links"]}
    assert ("mlm:model", "models/kappamask-v2-l1c") in links
    assert document["cube:dimensions"]["bands"]["values"] == ["mask"]


def test_collection_extents_follow_the_items() -> None:
    bare = build_collection("L1C", [])
    first = make_item("a", "2026-06-01T10:00:00Z", (10, 50, 11, 51))
    one = extend_collection(bare, [first])
    assert one["extent"]["spatial"]["bbox"] == [[10, 50, 11, 51]]
    assert one["extent"]["temporal"]["interval"] == [
        ["2026-06-01T10:00:00Z", "2026-06-01T10:00:00Z"]
    ]
    second = make_item("b", ("2026-05-01T10:00:00Z", "2026-07-01T10:00:00Z"), (-5, 49, 3, 50))
    both = extend_collection(one, [second])
    assert both["extent"]["spatial"]["bbox"] == [[-5, 49, 11, 51]]
    assert both["extent"]["temporal"]["interval"] == [
        ["2026-05-01T10:00:00Z", "2026-07-01T10:00:00Z"]
    ]
    assert both["cube:dimensions"]["x"]["extent"] == [-5, 11]
    assert both["cube:dimensions"]["t"]["extent"][1] == "2026-07-01T10:00:00Z"
    assert extend_collection(both, [first]) == both
    assert validate_item(both) == []
    assert bare["extent"] == build_collection("L1C", [])["extent"]


def test_collection_extent_with_an_item_across_the_antimeridian_goes_around() -> None:
    item = make_item("a", where=(170, 50, 171, 51))
    item["bbox"] = [179, 50, -179, 51]
    document = extend_collection(build_collection("L1C", []), [item])
    assert document["extent"]["spatial"]["bbox"] == [[-180, 50, 180, 51]]


def test_collection_summaries_follow_the_items() -> None:
    items = [
        make_item("a", eo__cloud_cover=20.0, kappamask__model_version="1.0"),
        make_item("b", eo__cloud_cover=5.5, kappamask__model_version="2.0", platform="sentinel-2b"),
    ]
    summaries = extend_collection(build_collection("L1C", []), items)["summaries"]
    assert summaries["eo:cloud_cover"] == {"minimum": 5.5, "maximum": 20.0}
    assert summaries["kappamask:model_version"] == ["1.0", "2.0"]
    assert summaries["platform"] == ["sentinel-2a", "sentinel-2b"]
