"""Documents as bytes; nothing is validated or copied on the way out."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from kappamask_catalog.stac_api.links import GEOJSON, JSON, JSON_SCHEMA

_OPTIONS = orjson.OPT_NON_STR_KEYS


def json_response(
    document: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON document."""
    return _response(document, JSON, status, headers)


def geojson_response(
    document: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A GeoJSON document."""
    return _response(document, GEOJSON, status, headers)


def schema_response(document: Any) -> Response:
    """A JSON Schema."""
    return _response(document, JSON_SCHEMA, 200, None)


def _response(
    document: Any, media_type: str, status: int, headers: Mapping[str, str] | None
) -> Response:
    content = orjson.dumps(document, option=_OPTIONS)
    return Response(content, status, headers=dict(headers or {}), media_type=media_type)
