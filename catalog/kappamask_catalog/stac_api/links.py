"""Absolute links of documents. Built for every item of a page, so with few steps."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request

from kappamask_catalog.store.base import Document

Link = dict[str, Any]
Href = Callable[[str], str]

JSON = "application/json"
GEOJSON = "application/geo+json"
JSON_SCHEMA = "application/schema+json"
OPENAPI = "application/vnd.oai.openapi+json;version=3.0"
"""What stac-fastapi says of its description."""
QUERYABLES = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
OWN_RELATIONS = frozenset(
    ("self", "root", "parent", "collection", "items", "item", "child", QUERYABLES, "queryables")
)
"""Links that follow from where a document is; stored ones are left out."""
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_LOCAL = "file:"
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")


def base_url(request: Request) -> str:
    """The address of the service as the user sees it, with a slash at the end."""
    return str(request.base_url)


def quoted(name: str) -> str:
    """A name as one part of a path."""
    return name if _PLAIN.fullmatch(name) else quote(name, safe="")


def link(rel: str, href: str, media_type: str = JSON, title: str | None = None) -> Link:
    """A link."""
    plain: Link = {"rel": rel, "type": media_type, "href": href}
    return plain if title is None else {**plain, "title": title}


def collection_url(base: str, collection_id: str) -> str:
    """The address of a collection."""
    return f"{base}collections/{quoted(collection_id)}"


def complete_collection(document: Document, base: str, public_href: Href) -> Document:
    """Give a collection its links; hrefs of files become public ones. Changes the document."""
    url = collection_url(base, document["id"])
    document["links"] = [
        link("self", url, title=document.get("title", document["id"])),
        link("root", base, title="All collections"),
        link("parent", base, title="All collections"),
        link("items", f"{url}/items", GEOJSON, "Items"),
        link(QUERYABLES, f"{url}/queryables", JSON_SCHEMA, "What filters can use"),
        *_other_links(document.get("links", ()), base, public_href),
    ]
    _publish_assets(document, public_href)
    return document


def complete_item(item: Document, base: str, public_href: Href) -> Document:
    """Give an item its links; hrefs of files become public ones. Changes the item."""
    collection = f"{base}collections/{quoted(item['collection'])}"
    item["links"] = [
        link("self", f"{collection}/items/{quoted(item['id'])}", GEOJSON),
        link("root", base),
        link("parent", collection),
        link("collection", collection),
        *_other_links(item.get("links", ()), base, public_href),
    ]
    _publish_assets(item, public_href)
    return item


def _other_links(
    links: Iterable[Mapping[str, Any]], base: str, public_href: Href
) -> Iterator[Link]:
    """Stored links that users can follow: relative ones start at the root of the service, and what
    is a file of the machine behind it is left out.
    """
    for one in links:
        if one.get("rel") in OWN_RELATIONS:
            continue
        href = public_href(one["href"])
        if _ABSOLUTE.match(href) is None:
            href = base + href
        if not href.startswith(_LOCAL):
            yield {**one, "href": href}


def _publish_assets(document: Document, public_href: Href) -> None:
    for asset in (document.get("assets") or {}).values():
        if "href" in asset:
            asset["href"] = public_href(asset["href"])
        for other in (asset.get("alternate") or {}).values():
            if "href" in other:
                other["href"] = public_href(other["href"])
        expression = asset.get("processing:expression")
        # Of the format `stac-mlm`: the address of the model's item.
        if isinstance(expression, dict) and isinstance(expression.get("expression"), str):
            expression["expression"] = public_href(expression["expression"])


def next_page(request: Request, url: str, token: str, body: Mapping[str, Any] | None) -> Link:
    """The link to the page after, for the method of the request.

    Args:
        request: the request for this page.
        url: its address without parameters.
        token: of the page after.
        body: of a POST, as it was sent; `None` for GET. The link has it whole, so it works with
            and without merging.
    """
    answer = link("next", url, GEOJSON)
    if body is not None:
        return answer | {"method": "POST", "body": {**body, "token": token}, "merge": True}
    kept = [pair for pair in request.query_params.multi_items() if pair[0] != "token"]
    return answer | {"method": "GET", "href": f"{url}?{urlencode([*kept, ('token', token)])}"}
