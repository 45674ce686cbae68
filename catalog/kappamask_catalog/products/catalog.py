"""Products of a static STAC catalog, on disk or on a web server."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from kappamask_catalog.products.base import (
    Bbox,
    Interval,
    ProductRef,
    check_query,
    describe,
    is_within,
    item_meets,
    item_ref,
    parse_item,
)
from kappamask_catalog.products.config import SourceConfig
from kappamask_catalog.products.server import JsonServer
from kappamask_catalog.sources.documents import (
    is_url,
    local_path,
    parse_json_object,
    read_document,
)
from kappamask_udf.errors import ProductError, SourceError

MAX_DEPTH = 32
"""Catalogs inside each other. A tree by zone, row, square, year, month and day has 7."""


class CatalogCollection:
    """See `ProductCollection`. Products come in the order of the links."""

    def __init__(self, config: SourceConfig, server: JsonServer | None = None) -> None:
        self._config = config
        is_remote = is_url(config.location)
        self._server = (server or JsonServer(config)) if is_remote else None

    @property
    def config(self) -> SourceConfig:
        """See `ProductCollection.config`."""
        return self._config

    def search(
        self, bbox: Bbox | None = None, interval: Interval | None = None, limit: int | None = None
    ) -> Iterator[ProductRef]:
        """See `ProductCollection.search`. All items are read: a catalog has no index."""
        check_query(bbox, interval, limit)
        return self._search(bbox, interval, limit)

    def _search(
        self, bbox: Bbox | None, interval: Interval | None, limit: int | None
    ) -> Iterator[ProductRef]:
        count = 0
        for href in self._item_hrefs():
            item = parse_item(self._read(href), href, self._config)
            wanted = self._config.collections
            if wanted and item.collection_id not in wanted:
                continue
            ref = item_ref(item, href, self._config)
            if not is_within(ref.datetime, interval) or not item_meets(item, bbox, self._config):
                continue
            yield ref
            count += 1
            if count == limit:
                return

    def _item_hrefs(self) -> Iterator[str]:
        """Where the items are, each once, also where catalogs refer to each other in circles."""
        seen: set[str] = set()
        stack = [(self._root(), 0)]
        while stack:
            href, depth = stack.pop()
            if href in seen:
                continue
            seen.add(href)
            if depth > MAX_DEPTH:
                raise self._failed(href, f"lies more than {MAX_DEPTH} catalogs deep")
            document = self._read(href)
            if document.get("type") not in ("Catalog", "Collection"):
                raise self._failed(href, f"is {describe(document)}, a catalog was expected")
            children: list[tuple[str, int]] = []
            for rel, target in self._links(document, href):
                if rel == "child":
                    children.append((target, depth + 1))
                elif target not in seen:
                    seen.add(target)
                    yield target
            stack.extend(reversed(children))

    def _root(self) -> str:
        location = self._config.location
        path = local_path(location)
        if path is None:
            return location
        return str(path / "catalog.json" if path.is_dir() else path)

    def _links(self, document: Mapping[str, Any], href: str) -> Iterator[tuple[str, str]]:
        links = document.get("links")
        if not isinstance(links, list):
            raise self._failed(href, "has no list of links")
        for link in links:
            rel = link.get("rel") if isinstance(link, Mapping) else None
            if rel in ("child", "item"):
                yield rel, self._resolve(str(link.get("href", "")), href)

    def _resolve(self, target: str, base: str) -> str:
        """A link as seen from its document; those of a server lead to servers only."""
        if self._server is not None:
            resolved = urljoin(base, target)
            if not is_url(resolved):
                raise self._failed(base, f"links to {target!r}; only http and https are followed")
            return resolved.partition("#")[0]
        path = local_path(target)
        if path is None or urlsplit(target).scheme in ("http", "https"):
            raise self._failed(base, f"links to {target!r}; a catalog on disk is followed on disk")
        return str((Path(base).parent / path).resolve())

    def _read(self, href: str) -> dict[str, Any]:
        if self._server is not None:
            return self._server.get_object(href)
        try:
            return parse_json_object(read_document(href), href)
        except ProductError as error:
            raise SourceError(f"source {self._config.id}: {error}") from error

    def _failed(self, href: str, what: str) -> SourceError:
        if self._server is not None:
            return self._server.failed(href, what)
        return SourceError(f"source {self._config.id}: {href} {what}")
