"""The address of the service, seen by users behind proxies."""

import pytest

from tests.catalog.stac_api.conftest import BuildApp
from tests.catalog.stac_api.tester import ApiTester, link_of

# The kind of store does not matter here.
pytestmark = pytest.mark.parametrize("place", ["sqlite"], indirect=True)

PATH = "collections/kappamask-l1c/items/item-001"


def self_of(api: ApiTester, path: str = f"/{PATH}", **headers: str) -> str:
    response = api.request("GET", path, headers=headers)
    assert response.status_code == 200, response.text
    return link_of(response.json(), "self")["href"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "http://testserver/"),
        ({"X-Forwarded-Proto": "https"}, "https://testserver/"),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "masks.example"}, "https://masks.example/"),
        ({"X-Forwarded-Host": "masks.example", "X-Forwarded-Port": "8080"}, "http://masks.example:8080/"),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"}, "https://testserver/"),
        ({"X-Forwarded-Host": "first.example, second.example"}, "http://first.example/"),
        ({"X-Forwarded-Prefix": "/stac"}, "http://testserver/stac/"),
        ({"X-Forwarded-Host": "[2001:db8::1]:81"}, "http://[2001:db8::1]:81/"),
        ({"Forwarded": "for=1.2.3.4;proto=https;host=masks.example"}, "https://masks.example/"),
        ({"Forwarded": 'host="masks.example:8443";proto="https", for=5.6.7.8;host=b'}, "https://masks.example:8443/"),
        ({"Forwarded": "host=a.example", "X-Forwarded-Host": "b.example"}, "http://a.example/"),
        ({"X-Forwarded-Host": "evil/../x"}, "http://testserver/"),
        ({"X-Forwarded-Proto": "javascript"}, "http://testserver/"),
        ({"X-Forwarded-Prefix": "//evil.example"}, "http://testserver/"),
        ({"Host": "[::1]:8000"}, "http://[::1]:8000/"),
    ],
)  # fmt: skip
def test_links_follow_what_proxies_forward(
    build_app: BuildApp, headers: dict[str, str], expected: str
) -> None:
    assert self_of(ApiTester(build_app()), **headers) == expected + PATH


@pytest.mark.parametrize("is_stripped", [True, False])
def test_links_prefix_works_whether_or_not_the_proxy_takes_it_away(
    build_app: BuildApp, is_stripped: bool
) -> None:
    api = ApiTester(build_app(public_url="https://masks.example/stac"))
    path = f"/{PATH}" if is_stripped else f"/stac/{PATH}"
    assert self_of(api, path) == f"https://masks.example/stac/{PATH}"


def test_links_configured_address_wins_over_headers(build_app: BuildApp) -> None:
    api = ApiTester(build_app(public_url="https://masks.example/stac/"))
    forwarded = {"Forwarded": "host=other.example;proto=http"}
    assert self_of(api, **forwarded) == f"https://masks.example/stac/{PATH}"
    page = api.get("/")
    assert {link["href"].split("stac/")[0] for link in page["links"]} == {"https://masks.example/"}
    first = api.search(limit=1)
    assert link_of(first, "next")["href"] == "https://masks.example/stac/search"


def test_description_for_people_works_behind_a_prefix(build_app: BuildApp) -> None:
    api = ApiTester(build_app(public_url="https://masks.example/stac"))
    assert "/stac/api" in api.request("GET", "/api.html").text
