"""A web server for collections of products, and products for folders."""

from collections.abc import Iterator

import pytest

from tests.catalog.products.stac_server import Site, serve_site
from tests.catalog.sources.conftest import l1c_safe, l2a_safe, make_safe

__all__ = ["l1c_safe", "l2a_safe", "make_safe"]


@pytest.fixture
def site() -> Iterator[Site]:
    with serve_site() as running:
        yield running
