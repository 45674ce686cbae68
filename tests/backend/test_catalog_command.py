"""`kappamask catalog`: look, export, import, check, remove."""

import json
from pathlib import Path
from typing import Any

import pystac
import pytest

from kappamask_catalog.publish.validation import validate_item
from kappamask_catalog.scene import DEMO_DATES, DemoScene, ProductPaths, write_product

from .conftest import SIZE_PX, Run


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KAPPAMASK_DATA_FOLDER", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture(scope="session")
def later(tmp_path_factory: pytest.TempPathFactory) -> ProductPaths:
    """Another day than `product`."""
    scene = DemoScene(size_px=SIZE_PX, date=DEMO_DATES[2])
    return write_product(scene, tmp_path_factory.mktemp("later"))


@pytest.fixture
def published(run: Run, product: ProductPaths, later: ProductPaths) -> list[dict[str, Any]]:
    """Items of two masks, the newer first."""
    assert run("publish", product.safe, later.safe, "-q").exit_code == 0
    return listed(run)


def listed(run: Run, *options: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(run("catalog", "list", "--json", *options).stdout)[
        "items"
    ]
    return items


def test_list_is_newest_first_and_can_be_narrowed(
    run: Run, published: list[dict[str, Any]]
) -> None:
    assert [one["properties"]["datetime"][:10] for one in published] == ["2026-06-11", "2026-06-01"]
    assert "2 of 2 masks" in run("catalog", "list").stdout
    assert len(listed(run, "--datetime", "2026-06-01")) == 1
    assert len(listed(run, "--datetime", "2026-06-02/..")) == 1
    west, south, east, north = published[0]["bbox"]
    assert len(listed(run, "--bbox", f"{west},{south},{east},{north}")) == 2
    assert listed(run, "--bbox", f"{east + 1},{south},{east + 2},{north}") == []
    assert len(listed(run, "--limit", "1")) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "--bbox", "1,2,3"), "a box is west,south,east,north"),
        (("list", "--bbox", "1,5,3,4"), "south <= north"),
        (("list", "--datetime", "yesterday"), "a time is a day"),
        (("list", "--datetime", "2026-06-02/2026-06-01"), "begins after it ends"),
        (("list", "-c", "none"), "no collection none"),
        (("show", "none"), "'none'"),
        (("delete", "none", "--yes"), "'none'"),
        (("import", "none"), "none"),
    ],
)
def test_mistakes_are_told_in_one_line(
    run: Run, published: list[dict[str, Any]], arguments: tuple[str, ...], message: str
) -> None:
    answer = run("catalog", *arguments)
    assert answer.exit_code == 1
    assert message in answer.error


def test_show_prints_collection_and_item(run: Run, published: list[dict[str, Any]]) -> None:
    assert json.loads(run("catalog", "show", "kappamask-l1c").stdout)["type"] == "Collection"
    assert json.loads(run("catalog", "show", published[0]["id"]).stdout) == published[0]


def test_delete_removes_item_and_files(run: Run, published: list[dict[str, Any]]) -> None:
    mask = Path(published[0]["assets"]["mask"]["href"].removeprefix("file://"))
    assert mask.is_file()
    answer = run("catalog", "delete", published[0]["id"], "--yes", "--json")
    assert json.loads(answer.stdout)["masks"] == 1
    assert listed(run) == published[1:]
    assert not mask.exists()
    collection = json.loads(run("catalog", "show", "kappamask-l1c").stdout)
    assert collection["extent"]["temporal"]["interval"][0][1].startswith("2026-06-01")


def test_export_with_files_stands_alone_and_can_be_imported_elsewhere(
    run: Run,
    published: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = run("catalog", "export", tmp_path / "static", "--files")
    assert answer.exit_code == 0, answer.stderr
    catalog = pystac.Catalog.from_file(str(tmp_path / "static" / "catalog.json"))
    items = [one for one in catalog.get_items(recursive=True) if one.collection_id]
    assert {one.id for one in items} == {one["id"] for one in published}
    for item in items:
        assert validate_item(item.to_dict(transform_hrefs=False)) == []
        for asset in item.assets.values():
            assert (
                Path(asset.get_absolute_href() or "").stat().st_size
                == asset.extra_fields["file:size"]
            )
    assert "there already" in run("catalog", "export", tmp_path / "static").error
    monkeypatch.setenv("KAPPAMASK_DATA_FOLDER", str(tmp_path / "elsewhere"))
    answer = run("catalog", "import", tmp_path / "static", "--json", "-q")
    assert answer.exit_code == 0, answer.stderr
    assert json.loads(answer.stdout) == {"imported": 2, "present": 0}
    assert [one["id"] for one in listed(run)] == [one["id"] for one in published]
    assert all(
        asset["href"].startswith((tmp_path / "elsewhere").as_uri())
        for one in listed(run)
        for asset in one["assets"].values()
    )
    assert run("catalog", "validate", "--checksums").exit_code == 0
    again = run("catalog", "import", tmp_path / "static", "--json", "-q")
    assert json.loads(again.stdout) == {"imported": 0, "present": 2}


def test_export_as_table_has_a_row_per_item(
    run: Run, published: list[dict[str, Any]], tmp_path: Path
) -> None:
    import pyarrow.parquet as parquet

    answer = run("catalog", "export", tmp_path / "masks.parquet")
    assert answer.exit_code == 0, answer.stderr
    table = parquet.read_table(tmp_path / "masks.parquet")
    assert sorted(table["id"].to_pylist()) == sorted(one["id"] for one in published)
    assert table["eo:cloud_cover"].to_pylist() == pytest.approx(
        [one["properties"]["eo:cloud_cover"] for one in published]
    )
    assert [path.name for path in tmp_path.glob(".masks*")] == []


def test_import_of_a_result_folder_publishes_the_mask(
    run: Run, product: ProductPaths, later: ProductPaths, published: list[dict[str, Any]]
) -> None:
    assert run("catalog", "delete", published[1]["id"], "--yes").exit_code == 0
    assert run("mask", product.safe, "-o", "result", "-q").exit_code == 0
    answer = run("catalog", "import", "result")
    assert answer.exit_code == 0, answer.stderr
    assert "1 imported" in answer.stdout
    before, after = published[1], listed(run)[1]
    assert after["id"] == before["id"]
    assert set(after["assets"]) == set(before["assets"])
    derived = [
        [link["href"] for link in one["links"] if link["rel"] == "derived_from"]
        for one in (before, after)
    ]
    assert derived[0] == derived[1]


def test_validate_finds_missing_and_changed_files(
    run: Run, published: list[dict[str, Any]]
) -> None:
    assert "0 problems" in run("catalog", "validate").stdout
    first, second = (
        Path(one["assets"]["mask"]["href"].removeprefix("file://")) for one in published
    )
    first.unlink()
    content = bytearray(second.read_bytes())
    content[-1] ^= 1
    second.write_bytes(content)
    answer = run("catalog", "validate")
    assert answer.exit_code == 1
    assert published[0]["id"] in answer.stdout
    assert published[1]["id"] not in answer.stdout
    answer = run("catalog", "validate", "--checksums")
    assert "another checksum" in answer.stdout


def test_clean_removes_files_of_no_item_only(
    run: Run, published: list[dict[str, Any]], data_folder: Path
) -> None:
    mask = Path(published[0]["assets"]["mask"]["href"].removeprefix("file://"))
    stray = mask.parent.with_name("0")
    stray.mkdir()
    (stray / "mask.tif").write_bytes(b"half")
    assert "1 folders would be removed" in run("catalog", "clean", "--dry-run").stdout
    assert stray.is_dir()
    assert run("catalog", "clean").exit_code == 0
    assert not stray.exists()
    assert run("catalog", "validate").exit_code == 0


def test_stats_count_masks_by_model(run: Run, published: list[dict[str, Any]]) -> None:
    told = json.loads(run("catalog", "stats", "--json").stdout)["kappamask-l1c"]
    assert told["masks"] == 2
    assert told["models"] == {"ukis-csmask-6b-l1c 1.0.0": 2}
    assert told["bytes"] > 10_000
    assert "kappamask-l1c" in run("catalog", "stats").stdout


def test_migrate_has_nothing_to_do_for_sqlite(run: Run) -> None:
    assert "up to date" in run("catalog", "migrate").stdout
