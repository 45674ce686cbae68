"""`kappamask benchmark search`: real servers over stores that it fills itself."""

import json

import pytest

from kappamask_backend.search_benchmark import make_items
from kappamask_catalog.publish.validation import validate_item

from .conftest import Run

pytestmark = pytest.mark.enable_socket


def test_search_benchmark_servers_find_the_same_items(run: Run, pgstac_dsn: str) -> None:
    answer = run(
        "benchmark", "search", "--items", "300", "--rounds", "1", "--searches", "10",
        "--postgres", pgstac_dsn, "--json", "-q",
    )  # fmt: skip
    assert answer.exit_code == 0, answer.stderr
    rows = json.loads(answer.stdout)
    assert [row["name"] for row in rows] == [
        "kappamask on SQLite", "kappamask on pgstac", "stac-fastapi-pgstac",
    ]  # fmt: skip
    assert rows[0]["ratio"] == 1
    assert len({row["returned"] for row in rows}) == 1
    assert all(row["per_second"] > 0 for row in rows)


def test_search_benchmark_items_are_valid_and_always_the_same() -> None:
    first, second = (list(make_items(5)) for _ in range(2))
    assert first == second
    assert all(validate_item(item) == [] for item in first)


def test_search_benchmark_server_that_does_not_start_says_why(run: Run) -> None:
    answer = run(
        "benchmark", "search", "--items", "100", "--postgres", "postgresql://127.0.0.1:1/none", "-q"
    )
    assert answer.exit_code == 1
    assert "127.0.0.1" in answer.error
