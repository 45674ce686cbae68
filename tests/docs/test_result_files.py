"""The page about the files of a result names all that the command writes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kappamask_backend.cli import app

from .blocks import DOCS


@pytest.fixture(scope="module")
def result(examples_folder: Path) -> Path:
    """A result with everything in it."""
    folder = examples_folder / "with-everything"
    arguments = ["mask", str(examples_folder / "product.SAFE"), "--output", str(folder)]
    options = ["--probabilities", "--dilate", "20", "--device", "cpu", "--quiet"]
    done = CliRunner().invoke(app, [*arguments, *options])
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def item(result: Path) -> dict[str, Any]:
    """The STAC item of the result."""
    (path,) = (path for path in result.glob("*.json") if path.name != "model.json")
    document: dict[str, Any] = json.loads(path.read_text())
    return document


@pytest.fixture(scope="module")
def page() -> str:
    return (DOCS / "reference" / "result-files.md").read_text()


def test_result_page_files_are_those_that_are_written(
    result: Path, item: dict[str, Any], page: str
) -> None:
    named = set(re.findall(r"^\| `([\w.]+\.\w+)` \|", page, re.MULTILINE))
    written = {path.name.replace(item["id"], "ID") for path in result.iterdir()}
    assert named == written


def test_result_page_names_every_field_of_our_own(item: dict[str, Any], page: str) -> None:
    own = {name for name in item["properties"] if name.startswith("kappamask:")}
    assert own
    assert {name for name in own if f"`{name}`" not in page} == set()


def test_result_page_names_every_link(item: dict[str, Any], page: str) -> None:
    relations = {link["rel"] for link in item["links"]} - {"self", "root", "parent", "collection"}
    assert relations
    assert {rel for rel in relations if f"`{rel}`" not in page} == set()
