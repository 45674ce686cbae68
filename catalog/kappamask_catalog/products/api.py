"""Products of any STAC API, through pystac-client."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

import pystac

from kappamask_catalog.products.base import (
    Bbox,
    Interval,
    ProductRef,
    check_query,
    describe,
    is_within,
    item_ref,
    parse_item,
)
from kappamask_catalog.products.config import SourceConfig
from kappamask_catalog.products.server import JsonServer
from kappamask_udf.errors import MissingExtraError, SourceError

if TYPE_CHECKING:
    from pystac_client import ItemSearch

_ITEM_SEARCH = "/item-search"


class ApiCollection:
    """See `ProductCollection`. Products come in the order of the server."""

    def __init__(self, config: SourceConfig, server: JsonServer | None = None) -> None:
        self._config = config
        self._server = server or JsonServer(config)

    @property
    def config(self) -> SourceConfig:
        """See `ProductCollection.config`."""
        return self._config

    def search(
        self, bbox: Bbox | None = None, interval: Interval | None = None, limit: int | None = None
    ) -> Iterator[ProductRef]:
        """See `ProductCollection.search`."""
        check_query(bbox, interval, limit)
        return self._search(bbox, interval, limit)

    def _search(
        self, bbox: Bbox | None, interval: Interval | None, limit: int | None
    ) -> Iterator[ProductRef]:
        count = 0
        for page in self._pages(bbox, interval, limit):
            for feature in page["features"]:
                ref = self._ref(feature)
                # Servers that do not know a condition leave it out; ours holds all the same.
                if not is_within(ref.datetime, interval):
                    continue
                yield ref
                count += 1
                if count == limit:
                    return

    def _pages(
        self, bbox: Bbox | None, interval: Interval | None, limit: int | None
    ) -> Iterator[dict[str, Any]]:
        """Pages as the server gives them, until the last or until they repeat."""
        search = self._item_search(bbox, interval, limit)
        seen: set[str] = set()
        try:
            for page in search.pages_as_dicts():
                features = page.get("features")
                if not isinstance(features, list):
                    raise self._failed(f"answers with {describe(page)}, not with items")
                ids = {str(one.get("id")) for one in features if isinstance(one, Mapping)}
                if ids and ids <= seen:
                    raise self._failed("gives the same page again and again")
                seen |= ids
                yield page
        # pystac-client expects what a server should answer.
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise self._failed(f"answers with no valid page ({reason})") from error

    def _item_search(
        self, bbox: Bbox | None, interval: Interval | None, limit: int | None
    ) -> "ItemSearch":
        try:
            from pystac_client import ItemSearch
        except ImportError as error:
            raise MissingExtraError(
                "STAC APIs need pystac-client; install 'openeo-kappamask[catalog]'"
            ) from error
        url, method = self._search_link()
        size = self._config.page_size
        return ItemSearch(
            url,
            method=method,
            stac_io=_build_io(self._server),
            collections=list(self._config.collections),
            bbox=None if bbox is None else list(bbox),
            datetime=_format_interval(interval),
            limit=size if limit is None else min(limit, size),
        )

    def _search_link(self) -> tuple[str, str]:
        """Where and how to search, as the root of the API tells."""
        root = self._server.get_object(self._config.location)
        conforms = root.get("conformsTo")
        if root.get("type") not in (None, "Catalog") or not isinstance(conforms, list):
            raise self._failed(
                f"is {describe(root)}, not the root of a STAC API; check location, or give its "
                "kind as catalog"
            )
        if not any(str(one).endswith(_ITEM_SEARCH) for one in conforms):
            raise self._failed("is a STAC API without item search")
        links = [one for one in root.get("links") or () if isinstance(one, Mapping)]
        found = {
            str(link.get("method", "GET")).upper(): str(link.get("href"))
            for link in links
            if link.get("rel") == "search"
        }
        # A body takes any number of ids and needs no quoting.
        method = "POST" if "POST" in found or not found else "GET"
        href = found.get(method, f"{self._config.location}/search")
        return urljoin(f"{self._config.location}/", href), method

    def _ref(self, feature: object) -> ProductRef:
        if not isinstance(feature, Mapping):
            raise self._failed(f"answers with {describe(feature)} among the items")
        location = self._item_url(feature)
        item = parse_item(feature, location, self._config)
        if item.collection_id not in self._config.collections:
            raise self._failed(
                f"was asked for {', '.join(self._config.collections)} and gives item {item.id} of "
                f"collection {item.collection_id}"
            )
        return item_ref(item, location, self._config)

    def _item_url(self, feature: Mapping[str, Any]) -> str:
        links = feature.get("links")
        for link in links if isinstance(links, list) else ():
            if isinstance(link, Mapping) and link.get("rel") == "self" and link.get("href"):
                return urljoin(f"{self._config.location}/", str(link["href"]))
        collection, item_id = (
            quote(str(feature.get(key)), safe="") for key in ("collection", "id")
        )
        return f"{self._config.location}/collections/{collection}/items/{item_id}"

    def _failed(self, what: str) -> SourceError:
        return self._server.failed(self._config.location, what)


def _format_interval(interval: Interval | None) -> str | None:
    if interval is None or interval == (None, None):
        return None
    return "/".join(
        ".." if time is None else pystac.utils.datetime_to_str(time) for time in interval
    )


def _build_io(server: JsonServer) -> Any:
    """pystac-client's way to ask, with our bounds."""
    from pystac_client.stac_api_io import StacApiIO

    class BoundedApiIO(StacApiIO):
        def request(
            self,
            href: str,
            method: str | None = None,
            headers: dict[str, str] | None = None,
            parameters: dict[str, Any] | None = None,
        ) -> str:
            name = (method or "GET").upper()
            has_body = name != "GET"
            return server.get_text(
                name,
                href,
                headers=headers,
                body=parameters if has_body else None,
                parameters=None if has_body else parameters,
            )

        def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
            # Base reads files where a link is no URL.
            href = source.get_href() if isinstance(source, pystac.Link) else str(source)
            if not str(href).startswith(("http://", "https://")):
                raise server.failed(str(href), "is no http or https address; no other is followed")
            return str(super().read_text(source, *args, **kwargs))

        def json_loads(self, txt: str, *_: Any, **__: Any) -> dict[str, Any]:
            return server.parse_object(txt, server.location)

    build: Callable[[], Any] = BoundedApiIO
    return build()
