"""stac-api-validator without a network: `python -m tests.catalog.stac_api.validator ARGUMENTS`.

The validator fetches JSON Schemas from the internet. Here they come from the copies that pystac and
this package carry; servers on this machine are asked as always. No check is switched off: a schema
that is not here is reported and fails the run, and links elsewhere cannot be opened, which the
validator takes as it would without a network.
"""

import io
import json
import sys
import urllib.error
import urllib.request
from email.message import Message
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from urllib.response import addinfourl

import requests
from pystac.validation.local_validator import get_local_schema_cache
from requests.adapters import HTTPAdapter

from kappamask_catalog.publish.validation import load_extension_schemas

SCHEMA_ENDS = (".json", "/schema", "/schema#")
missing: set[str] = set()
"""Addresses of schemas that were asked for and are not here."""


@cache
def schemas() -> dict[str, Any]:
    """JSON Schemas by address, without `#`."""
    carried = {**get_local_schema_cache(), **load_extension_schemas()}
    return {address.rstrip("#"): schema for address, schema in carried.items()}


def read_schema(address: str) -> bytes | None:
    """A schema as it would come; `None` if it is not here."""
    schema = schemas().get(address.rstrip("#"))
    if schema is not None:
        return json.dumps(schema).encode()
    if "schema" in address:
        missing.add(address)
    return None


def is_local(address: str) -> bool:
    return urlsplit(address).hostname in ("127.0.0.1", "localhost")


class LocalAdapter(HTTPAdapter):
    """What `requests` uses."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        address = str(request.url)
        if is_local(address):
            return super().send(request, *args, **kwargs)
        content = read_schema(address)
        if content is None:
            raise requests.ConnectionError(f"no network for {address}")
        response = requests.Response()
        response.status_code = 200
        response.url = address
        response.request = request
        response.raw = io.BytesIO(content)
        response.headers["Content-Type"] = "application/json"
        return response


class LocalHandler(urllib.request.BaseHandler):
    """What `urllib` uses, before its own."""

    handler_order = 100

    def http_open(self, request: urllib.request.Request) -> addinfourl | None:
        address = request.full_url
        if is_local(address):
            return None
        content = read_schema(address)
        if content is None:
            raise urllib.error.URLError(f"no network for {address}")
        return addinfourl(io.BytesIO(content), Message(), address, 200)

    https_open = http_open


def main() -> None:
    """Run the validator with the arguments of the command line."""
    requests.Session.get_adapter = lambda *_, **__: LocalAdapter()  # type: ignore[method-assign]
    urllib.request.install_opener(urllib.request.build_opener(LocalHandler()))
    from stac_api_validator.__main__ import main as validate

    code: Any = 0
    try:
        validate(sys.argv[1:], standalone_mode=False)
    except SystemExit as done:
        code = done.code
    for address in sorted(missing):
        print(f"schema that is not here: {address}")
    sys.exit(1 if code or missing else 0)


if __name__ == "__main__":
    main()
