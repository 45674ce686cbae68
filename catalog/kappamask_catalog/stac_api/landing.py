"""The landing page and the conformance classes, which several APIs may share.

An API that is mounted on the same application adds what it has with `Landing.add`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kappamask_catalog.stac_api.links import (
    GEOJSON,
    JSON_SCHEMA,
    OPENAPI,
    QUERYABLES,
    Link,
    link,
)
from kappamask_catalog.stac_api.settings import StacApiSettings
from kappamask_catalog.store.base import Document

STAC_VERSION = "1.1.0"

LinksAt = Callable[[str], Iterable[Link]]
"""Links for a service at an address, which ends with a slash."""
FieldsAt = Callable[[str], Mapping[str, Any]]
"""Fields of the landing page for a service at an address."""


@dataclass
class Landing:
    """What the APIs of one application say of themselves at `/` and `/conformance`."""

    settings: StacApiSettings
    conforms_to: list[str] = field(default_factory=list)
    links: list[LinksAt] = field(default_factory=list)
    fields: list[FieldsAt] = field(default_factory=list)

    def add(
        self,
        conforms_to: Iterable[str] = (),
        links: LinksAt | None = None,
        fields: FieldsAt | None = None,
    ) -> None:
        """Add an API's conformance classes, links and fields."""
        self.conforms_to = sorted({*self.conforms_to, *map(str, conforms_to)})
        self.links += [links] if links else []
        self.fields += [fields] if fields else []


def build_landing_page(landing: Landing, base: str) -> Document:
    """The root catalog of a service at an address, which ends with a slash."""
    settings = landing.settings
    page: Document = {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": settings.catalog_id,
        "title": settings.title,
        "description": settings.description,
        "conformsTo": landing.conforms_to,
        "links": [
            link("self", base, title=settings.title),
            link("root", base, title=settings.title),
            *(one for links in landing.links for one in links(base)),
        ],
    }
    for fields in landing.fields:
        page |= fields(base)
    return page


def stac_links(base: str) -> Iterable[Link]:
    """Links of the STAC API on the landing page."""
    return (
        link("data", f"{base}collections", title="Collections"),
        link("conformance", f"{base}conformance", title="What the service conforms to"),
        link("search", f"{base}search", GEOJSON, "Search") | {"method": "GET"},
        link("search", f"{base}search", GEOJSON, "Search") | {"method": "POST"},
        link(QUERYABLES, f"{base}queryables", JSON_SCHEMA, "What filters can use"),
        link("service-desc", f"{base}api", OPENAPI, "Description for programs"),
        link("service-doc", f"{base}api.html", "text/html", "Description for people"),
    )
