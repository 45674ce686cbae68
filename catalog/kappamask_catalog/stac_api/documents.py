"""Documents that come over HTTP: checked before they reach the store."""

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import ValidationError
from stac_pydantic import Collection, Item

from kappamask_catalog.stac_api.parsing import check_text, shown
from kappamask_catalog.store.base import Document
from kappamask_udf.errors import InvalidDocumentError, InvalidQueryError

MAX_ID_CHARACTERS = 255
_SHOWN_PROBLEMS = 3


def check_item(document: Any, collection_id: str, item_id: str | None = None) -> None:
    """Return if a document can be kept as an item of a collection.

    Raises:
        InvalidDocumentError: it is no STAC item, or of another collection or id.
    """
    _check(document, Item, "item", item_id)
    named = document.get("collection", collection_id)
    if named != collection_id:
        raise InvalidDocumentError(
            f"the item must name collection {collection_id!r} or none (got {shown(named)})"
        )


def check_collection(document: Any, collection_id: str | None = None) -> None:
    """Return if a document can be kept as a collection.

    Raises:
        InvalidDocumentError: it is no STAC collection, or has another id.
    """
    _check(document, Collection, "collection", collection_id)


def _check(
    document: Any, model: type[Item] | type[Collection], kind: str, expected_id: str | None
) -> None:
    if not isinstance(document, Mapping):
        raise InvalidDocumentError(f"an {kind} must be an object (got {shown(document)})")
    try:
        check_text(document, f"the {kind}")
        model.model_validate_json(orjson.dumps(document))
    except InvalidQueryError as error:
        raise InvalidDocumentError(str(error)) from error
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, one['loc'])) or kind}: {one['msg']}" for one in error.errors()
        ]
        text = "; ".join(problems[:_SHOWN_PROBLEMS])
        raise InvalidDocumentError(f"this is no STAC {kind}: {text}") from error
    document_id = document["id"]
    if not 0 < len(document_id) <= MAX_ID_CHARACTERS or "/" in document_id:
        raise InvalidDocumentError(
            f"id must have 1 to {MAX_ID_CHARACTERS} characters and no / (got {shown(document_id)})"
        )
    if expected_id is not None and document_id != expected_id:
        raise InvalidDocumentError(f"id must be {expected_id!r} (got {shown(document_id)})")


def merged(document: Mapping[str, Any], patch: Mapping[str, Any]) -> Document:
    """A document with a merge patch applied (RFC 7396): `null` removes."""
    answer = dict(document)
    for name, value in patch.items():
        if value is None:
            answer.pop(name, None)
        elif isinstance(value, Mapping):
            before = answer.get(name)
            answer[name] = merged(before if isinstance(before, Mapping) else {}, value)
        else:
            answer[name] = value
    return answer
