"""`kappamask serve`: the command, as a user starts it."""

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from kappamask_catalog.scene import ProductPaths

from .conftest import Run

pytestmark = pytest.mark.enable_socket
KAPPAMASK = [sys.executable, "-c", "from kappamask_backend.cli import main; main()"]
TOKEN = "the-token-of-the-operator"


@pytest.fixture
def data_folder(
    tmp_path: Path, run: Run, product: ProductPaths, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A data folder with one published mask."""
    monkeypatch.setenv("KAPPAMASK_DATA_FOLDER", str(tmp_path / "data"))
    assert run("publish", product.safe, "-q").exit_code == 0
    return tmp_path / "data"


@pytest.fixture
def server(data_folder: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The running command and the address that it printed."""
    environment = {
        **os.environ,
        "KAPPAMASK_API_OPERATOR_TOKEN": TOKEN,
        "KAPPAMASK_API_ENABLE_TRANSACTIONS": "true",
    }
    process = subprocess.Popen(
        [*KAPPAMASK, "serve", "--port", "0", "--data", str(data_folder)],
        env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.fullmatch(r"url: (http://127\.0\.0\.1:\d+)\n", line)
    assert found, line + process.stderr.read()
    yield process, found[1]
    process.kill()
    process.communicate()


def test_serve_answers_searches_and_files_and_stops_when_asked(
    server: tuple["subprocess.Popen[str]", str], data_folder: Path
) -> None:
    process, url = server
    with httpx.Client(base_url=url) as client:
        landing = client.get("/").json()
        assert landing["type"] == "Catalog"
        assert any("item-search" in one for one in landing["conformsTo"])
        (item,) = client.get("/search", params={"filter": "eo:cloud_cover < 100"}).json()[
            "features"
        ]
        href = item["assets"]["mask"]["href"]
        assert href.startswith(url)
        part = client.get(href, headers={"Range": "bytes=0-3"})
        assert part.status_code == 206
        assert part.content in (b"II*\0", b"II+\0")
        model = next(one for one in item["links"] if one["rel"] == "mlm:model")
        assert model["href"].startswith(url)
        assert client.get(model["href"]).json()["id"] == "ukis-csmask-6b-l1c"
        unknown = client.get("/collections/none")
        assert unknown.status_code == 404
        assert {"code", "message", "id"} <= set(unknown.json())
    mode = stat.S_IMODE((data_folder / "link-key").stat().st_mode)
    assert mode == 0o600
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode in (0, 130, -signal.SIGTERM)


def test_serve_links_name_no_file_of_the_machine(
    server: tuple["subprocess.Popen[str]", str], data_folder: Path
) -> None:
    _, url = server
    answer = httpx.get(f"{url}/search")
    assert "file://" not in answer.text
    assert str(data_folder) not in answer.text


def test_serve_transactions_need_the_token_of_the_operator(
    server: tuple["subprocess.Popen[str]", str],
) -> None:
    _, url = server
    with httpx.Client(base_url=url) as client:
        (item,) = client.get("/search").json()["features"]
        path = f"/collections/{item['collection']}/items/{item['id']}"
        assert client.delete(path).status_code in (401, 403)
        wrong = client.delete(path, headers={"Authorization": "Bearer wrong"})
        assert wrong.status_code in (401, 403)
        assert client.get(path).status_code == 200
        right = client.delete(path, headers={"Authorization": f"Bearer {TOKEN}"})
        assert right.status_code in (200, 204)
        assert client.get(path).status_code == 404


def test_serve_on_a_port_that_is_taken_says_so(
    run: Run, server: tuple["subprocess.Popen[str]", str]
) -> None:
    port = server[1].rpartition(":")[2]
    answer = run("serve", "--port", port)
    assert answer.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in answer.error
