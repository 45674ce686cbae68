"""The application in this process, with the questions that many tests ask."""

import warnings
from collections.abc import Iterator
from typing import Any

import httpx
from fastapi import FastAPI

from tests.catalog.stac_api.documents import Document

with warnings.catch_warnings():
    # Starlette would like another client, which is not out yet.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

BASE = "http://testserver/"


class ApiTester:
    """Asks an application as one user."""

    def __init__(self, app: FastAPI, user: str | None = None):
        headers = {} if user is None else {"X-Test-User": user}
        self._client = TestClient(app, raise_server_exceptions=False, headers=headers)

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        return self._client.request(method, url, follow_redirects=False, **options)

    def get(self, url: str, **parameters: Any) -> Document:
        response = self.request("GET", url, params=parameters or None)
        assert response.status_code == 200, response.text
        return response.json()

    def search(self, **body: Any) -> Document:
        response = self.request("POST", "/search", json=body)
        assert response.status_code == 200, response.text
        return response.json()

    def assert_error(self, method: str, url: str, status: int, code: str, **options: Any) -> str:
        """An error of our form, without traces of code; its message."""
        response = self.request(method, url, **options)
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/json"
        assert response.headers["access-control-allow-origin"] == "*"
        body = response.json()
        assert set(body) == {"code", "message", "description", "id"}
        assert body["code"] == code
        assert body["description"] == body["message"]
        assert "Traceback" not in response.text
        assert ".py" not in response.text
        assert body["message"].isprintable()
        return body["message"]

    def pages(self, first: Document) -> Iterator[Document]:
        """A page and all after it, as its links say."""
        page = first
        while True:
            yield page
            links = [one for one in page["links"] if one["rel"] == "next"]
            if not links:
                return
            (link,) = links
            response = self.request(link["method"], link["href"], json=link.get("body"))
            assert response.status_code == 200, response.text
            page = response.json()


def ids(page: Document) -> list[str]:
    return [item["id"] for item in page["features"]]


def link_of(document: Document, rel: str) -> Document:
    (link,) = [one for one in document["links"] if one["rel"] == rel]
    return link
