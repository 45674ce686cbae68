"""STAC documents against their JSON Schemas, from local copies only.

The schemas of STAC come with pystac, those of extensions lie in `schemas` beside this module
(where each is from: `schemas/README.md`). Needs `jsonschema`, which is in the extra `validate`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pystac
from pyproj import datadir

from kappamask_udf.errors import MissingExtraError

if TYPE_CHECKING:
    from jsonschema import Draft7Validator, FormatChecker, ValidationError
    from referencing import Registry, Resource

SCHEMA_FOLDERS = ("extensions", "own")
_STAC_VERSION = "1.1.0"
_SCHEMA_NAMES = {"Feature": "item", "Collection": "collection", "Catalog": "catalog"}
_PROJJSON = re.compile(r"https://proj\.org/.*projjson\.schema\.json")
# Schemas that others refer to and no package carries, and what stands in for them: the MLM
# extension 1.4.0 takes its class list from classification 1.1.0; that of 2.0.0 says the same but
# that a class must have a name.
_STAND_INS = {
    "https://stac-extensions.github.io/classification/v1.1.0/schema.json": (
        "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
    )
}
_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")
_IRI_FORBIDDEN = re.compile(r"[\s<>\"{}|\\^`]")


def validate_item(item: pystac.Item | Mapping[str, Any]) -> list[str]:
    """What is wrong with a STAC item, as `where: what [schema]`; empty if it is valid.

    Checked are STAC 1.1.0 and every extension that the item lists; one whose schema is not here
    is a problem itself. Catalogs and collections work as well.

    Raises:
        MissingExtraError: `jsonschema` is not installed.
    """
    document = _as_json(item)
    problems = [] if document.get("type") in _SCHEMA_NAMES else ["type: not a STAC document"]
    if version_problem := _version_problem(document):
        problems.append(version_problem)
    if problems:
        return problems
    extensions = document.get("stac_extensions", [])
    for uri in (_core_uri(document), *(extensions if isinstance(extensions, list) else [])):
        problems += _iterate_problems(document, str(uri))
    return problems


def local_schema_uris() -> list[str]:
    """The addresses of all extension schemas that are here."""
    return sorted(load_extension_schemas())


def _as_json(item: pystac.Item | Mapping[str, Any]) -> dict[str, Any]:
    plain = item.to_dict(transform_hrefs=False) if isinstance(item, pystac.Item) else item
    # A round trip through JSON: what is checked is what would be written.
    document: dict[str, Any] = json.loads(json.dumps(plain))
    return document


def _version_problem(document: Mapping[str, Any]) -> str | None:
    version = document.get("stac_version")
    return None if version == _STAC_VERSION else f"stac_version: {version!r} is not {_STAC_VERSION}"


def _core_uri(document: Mapping[str, Any]) -> str:
    name = _SCHEMA_NAMES[document["type"]]
    return f"https://schemas.stacspec.org/v{_STAC_VERSION}/{name}-spec/json-schema/{name}.json"


def _iterate_problems(document: Mapping[str, Any], uri: str) -> Iterator[str]:
    validator = _build_validator(uri)
    if validator is None:
        yield f"stac_extensions: there is no local schema of {uri}"
        return
    for error in sorted(validator.iter_errors(document), key=lambda one: list(one.absolute_path)):
        cause = _deepest(error)
        where = "/".join(map(str, cause.absolute_path)) or "document"
        yield f"{where}: {cause.message} [{uri}]"


def _deepest(error: "ValidationError") -> "ValidationError":
    """The error inside of `anyOf` and `oneOf` that says most: those of the branch that got
    farthest into the document.
    """
    while error.context:
        error = max(
            error.context, key=lambda one: (len(one.absolute_path), one.validator != "const")
        )
    return error


@cache
def _build_validator(uri: str) -> "Draft7Validator | None":
    from jsonschema import Draft7Validator

    registry = _build_registry()
    try:
        schema = registry.contents(uri)
    except LookupError:
        return None
    return Draft7Validator(schema, registry=registry, format_checker=_build_format_checker())


@cache
def _build_registry() -> "Registry[Any]":
    try:
        from pystac.validation.local_validator import get_local_schema_cache
        from referencing import Registry, Resource
    except ImportError as error:
        raise MissingExtraError(
            "checking STAC documents needs jsonschema, which is not installed; "
            "install it with: pip install 'openeo-kappamask[validate]'"
        ) from error
    local = {**get_local_schema_cache(), **load_extension_schemas()}
    known: list[tuple[str, Resource[Any]]] = [
        (uri, Resource.from_contents(schema)) for uri, schema in local.items()
    ]
    # The constructor's arguments are attrs fields, which mypy cannot see.
    registry: Registry[Any] = Registry(retrieve=_retrieve)  # type: ignore[call-arg]
    return registry.with_resources(known)


def _retrieve(uri: str) -> "Resource[Any]":
    """PROJ's own schema, if a document has PROJJSON; nothing else is looked up anywhere."""
    from referencing import Resource
    from referencing.exceptions import NoSuchResource

    if not _PROJJSON.fullmatch(uri):
        raise NoSuchResource(ref=uri)  # type: ignore[call-arg]  # as above
    path = Path(datadir.get_data_dir()) / "projjson.schema.json"
    return Resource.from_contents(json.loads(path.read_text(encoding="utf-8")))


@cache
def load_extension_schemas() -> dict[str, dict[str, Any]]:
    """Schemas of extensions by address."""
    schemas = {}
    for folder in SCHEMA_FOLDERS:
        for file in (resources.files(__package__) / "schemas" / folder).iterdir():
            schema = json.loads(file.read_text(encoding="utf-8"))
            schemas[schema["$id"].rstrip("#")] = schema
    stand_ins = {uri: {**schemas[other], "$id": uri} for uri, other in _STAND_INS.items()}
    return {**schemas, **stand_ins}


@cache
def _build_format_checker() -> "FormatChecker":
    """The formats that STAC uses; jsonschema checks none of them without further packages."""
    from jsonschema import FormatChecker

    def check(name: str, is_valid: Callable[[str], bool]) -> None:
        checker.checks(name, raises=ValueError)(
            lambda value: not isinstance(value, str) or is_valid(value)
        )

    checker = FormatChecker(formats=())
    check("date-time", _is_datetime)
    for name in ("uri", "iri", "uri-reference", "iri-reference"):
        check(name, _is_reference)
    return checker


def _is_datetime(value: str) -> bool:
    if not _RFC3339.fullmatch(value):
        return False
    datetime.fromisoformat(value.upper())
    return True


def _is_reference(value: str) -> bool:
    return bool(value) and not _IRI_FORBIDDEN.search(value)
