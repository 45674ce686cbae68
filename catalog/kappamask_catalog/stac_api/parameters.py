"""Request models of stac-fastapi: which parameters there are and what they are called.

Values are taken as they come and read by `parsing`, so that GET and POST say the same of the same
mistake.
"""

from typing import Annotated, Any, Literal

import attr
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from stac_fastapi.types.search import APIRequest

_BBOX = "West, south, east, north in degrees; or with heights, 6 numbers. Not with intersects."
_DATETIME = "A time of RFC 3339, or an interval of two with / between; .. is an open end."
_LIMIT = "Items per page; more than 10000 is taken as 10000."
_FILTER = "A condition in CQL2."
_FILTER_CRS = "Only CRS84, degrees with longitude first."

Text = str | None


@attr.s(auto_attribs=True, kw_only=True)
class ItemsGet(APIRequest):
    """GET `/collections/{collection_id}/items`."""

    collection_id: Annotated[str, Path(description="Id of the collection")]
    bbox: Annotated[Text, Query(description=_BBOX)] = None
    datetime: Annotated[Text, Query(description=_DATETIME)] = None
    limit: Annotated[Text, Query(description=_LIMIT)] = None


@attr.s(auto_attribs=True, kw_only=True)
class SearchGet(APIRequest):
    """GET `/search`."""

    collections: Annotated[Text, Query(description="Ids of collections, commas between.")] = None
    ids: Annotated[Text, Query(description="Ids of items, commas between.")] = None
    bbox: Annotated[Text, Query(description=_BBOX)] = None
    intersects: Annotated[Text, Query(description="GeoJSON geometry. Not with bbox.")] = None
    datetime: Annotated[Text, Query(description=_DATETIME)] = None
    limit: Annotated[Text, Query(description=_LIMIT)] = None


@attr.s(auto_attribs=True, kw_only=True)
class FilterGet(APIRequest):
    """Filter extension."""

    filter_expr: Annotated[Text, Query(alias="filter", description=_FILTER)] = None
    filter_lang: Annotated[Literal["cql2-text", "cql2-json"] | None, Query(alias="filter-lang")] = (
        None
    )
    filter_crs: Annotated[Text, Query(alias="filter-crs", description=_FILTER_CRS)] = None


@attr.s(auto_attribs=True, kw_only=True)
class QueryGet(APIRequest):
    """Query extension."""

    query: Annotated[Text, Query(description="Conditions as JSON.")] = None


@attr.s(auto_attribs=True, kw_only=True)
class SortGet(APIRequest):
    """Sort extension."""

    sortby: Annotated[Text, Query(description="Fields, - before one for descending.")] = None


@attr.s(auto_attribs=True, kw_only=True)
class FieldsGet(APIRequest):
    """Fields extension."""

    fields: Annotated[Text, Query(description="Fields, - before one to leave it out.")] = None


@attr.s(auto_attribs=True, kw_only=True)
class TokenGet(APIRequest):
    """Paging."""

    token: Annotated[Text, Query(description="Of the page before; take it from its link.")] = None


class SearchPost(BaseModel):
    """POST `/search`."""

    model_config = ConfigDict(extra="ignore", populate_by_name=False)

    collections: list[str] | None = None
    ids: list[str] | None = None
    bbox: list[Any] | None = Field(None, description=_BBOX)
    intersects: dict[str, Any] | None = Field(None, description="GeoJSON geometry.")
    datetime: str | None = Field(None, description=_DATETIME)
    limit: int | None = Field(None, description=_LIMIT)


class FilterPost(BaseModel):
    """Filter extension; text is taken as well, since clients send it."""

    filter_expr: dict[str, Any] | str | None = Field(None, alias="filter", description=_FILTER)
    filter_lang: Literal["cql2-text", "cql2-json"] | None = Field(None, alias="filter-lang")
    filter_crs: str | None = Field(None, alias="filter-crs", description=_FILTER_CRS)


class QueryPost(BaseModel):
    """Query extension."""

    query: dict[str, Any] | None = None


class SortPost(BaseModel):
    """Sort extension."""

    sortby: list[Any] | None = Field(None, description="Objects with field and direction.")


class FieldsPost(BaseModel):
    """Fields extension; `null` is no choice of fields."""

    fields: dict[str, Any] = Field(
        default_factory=dict, description="include and exclude, lists of names."
    )


class TokenPost(BaseModel):
    """Paging."""

    token: str | None = None
