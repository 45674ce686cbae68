"""The parts of the reference pages that are made from the code."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from kappamask_udf import errors
from kappamask_udf.classes import MaskClass
from kappamask_udf.models import load_registry

from .blocks import DOCS, ROOT


@pytest.fixture(scope="module")
def generate() -> Iterator[ModuleType]:
    """The hook of MkDocs, which is no package."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def page_text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def all_errors(error: type[Exception] = errors.KappamaskError) -> Iterator[str]:
    for child in error.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child.__name__
            yield from all_errors(child)


def test_generators_all_are_used_by_a_page(generate: ModuleType) -> None:
    used = {
        name for page in DOCS.rglob("*.md") for name in generate.MARKER.findall(page.read_text())
    }
    assert used == set(generate.GENERATORS)


def test_generators_called_twice_give_the_same(generate: ModuleType) -> None:
    for make in generate.GENERATORS.values():
        assert make() == make()


def test_generators_texts_hold_no_path_of_this_machine(generate: ModuleType) -> None:
    text = "\n".join(make() for make in generate.GENERATORS.values())
    assert str(ROOT) not in text
    assert str(Path.home()) + "/" not in text


def test_fill_unknown_marker_fails(generate: ModuleType) -> None:
    with pytest.raises(KeyError, match="nothing"):
        generate.fill("<!-- generate: nothing -->")


def test_classes_table_has_a_row_per_class(generate: ModuleType) -> None:
    rows = generate.classes().splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows if row] == [str(int(c)) for c in MaskClass]


def test_error_table_names_every_error(generate: ModuleType) -> None:
    assert set(re.findall(r"`(\w+)`", generate.error_tree())) == {"KappamaskError", *all_errors()}


def test_model_cards_name_every_built_in_model(generate: ModuleType) -> None:
    built_in = [model.spec.name for model in load_registry() if model.origin == "built-in"]
    assert re.findall(r"^## (.+)$", generate.model_cards(), re.MULTILINE) == built_in


def test_error_recipes_cover_every_error() -> None:
    headings = re.findall(r"^## (\w+Error)$", page_text("how-to/mend-an-error.md"), re.MULTILINE)
    assert set(headings) == set(all_errors())


def test_environment_page_names_every_variable_that_is_read(generate: ModuleType) -> None:
    pages = ("reference/environment.md", "reference/stac-api.md")
    page = "".join(generate.fill(page_text(name)) for name in pages)
    sources = [
        path.read_text()
        for folder in ("udf", "catalog", "backend")
        for path in (ROOT / folder).rglob("*.py")
    ]
    named = {name for text in sources for name in re.findall(r'"(KAPPAMASK_\w+|XDG_\w+)"', text)}
    assert named
    # What ends in an underscore is the beginning of several.
    lacking = [name for name in sorted(named) if f"`{name.rstrip('_')}" not in page]
    assert lacking == []


def test_model_page_names_every_field_that_is_read() -> None:
    page = page_text("reference/models.md")
    spec = (ROOT / "udf" / "kappamask_udf" / "models" / "spec.py").read_text()
    fields = set(re.findall(r'\["((?:kappamask|mlm|classification|file):[\w:]+)"\]', spec))
    assert len(fields) > 5
    assert [field for field in sorted(fields) if field not in page] == []
