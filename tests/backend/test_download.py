"""Downloads that break off, change, are refused, or are killed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from kappamask_backend.download import download, public_url, resolve_url
from kappamask_udf.errors import DownloadError, OutputError
from tests.backend.file_server import Served, serve

pytestmark = pytest.mark.enable_socket

CONTENT = random.Random(5).randbytes(1_000_003)


@pytest.fixture
def served() -> Iterator[Served]:
    with serve(Served(CONTENT)) as running:
        yield running


@pytest.fixture
def slept() -> list[float]:
    return []


def assert_clean(target: Path, content: bytes = CONTENT) -> None:
    assert target.read_bytes() == content
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_download_whole_file_reports_progress_and_checksum(served: Served, tmp_path: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    target = tmp_path / "new" / "file"
    got = download(served.url, target, progress=lambda *step: steps.append(step))
    assert_clean(target)
    assert (got.sha256, got.size_bytes) == (sha256(CONTENT).hexdigest(), len(CONTENT))
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert steps == sorted(steps)


def test_download_cut_connection_goes_on_where_it_ended(
    served: Served, tmp_path: Path, slept: list[float]
) -> None:
    served.cuts = [300_000, 200_000]
    download(served.url, tmp_path / "file", sleep=slept.append)
    assert_clean(tmp_path / "file")
    assert [wanted for _, wanted in served.requests] == [None, "bytes=300000-", "bytes=500000-"]
    assert len(slept) == 2


def test_download_second_call_goes_on_where_the_first_gave_up(
    served: Served, tmp_path: Path
) -> None:
    served.cuts = [400_000]
    with pytest.raises(DownloadError, match=r"400000 bytes, expected 1000003.* \(1 attempts\)"):
        download(served.url, tmp_path / "file", attempts=1)
    assert not (tmp_path / "file").exists()
    download(served.url, tmp_path / "file", attempts=1)
    assert_clean(tmp_path / "file")
    assert served.requests[-1][1] == "bytes=400000-"


@pytest.mark.parametrize("etag", ['"two"', None, 'W/"weak"'])
def test_download_of_a_file_that_changed_begins_anew(
    served: Served, tmp_path: Path, etag: str | None
) -> None:
    served.cuts = [400_000]
    with pytest.raises(DownloadError):
        download(served.url, tmp_path / "file", attempts=1)
    served.content, served.etag = CONTENT[::-1], etag
    download(served.url, tmp_path / "file")
    assert_clean(tmp_path / "file", CONTENT[::-1])


def test_download_of_a_file_that_became_shorter_begins_anew(
    served: Served, tmp_path: Path, slept: list[float]
) -> None:
    served.cuts = [400_000]
    with pytest.raises(DownloadError):
        download(served.url, tmp_path / "file", attempts=1)
    served.content, served.statuses = CONTENT[:1000], [416]
    download(served.url, tmp_path / "file", sleep=slept.append)
    assert_clean(tmp_path / "file", CONTENT[:1000])


def test_download_from_server_without_ranges_begins_anew(
    served: Served, tmp_path: Path, slept: list[float]
) -> None:
    served.has_ranges, served.cuts = False, [400_000]
    download(served.url, tmp_path / "file", sleep=slept.append)
    assert_clean(tmp_path / "file")


def test_download_from_busy_server_waits_as_it_is_told(
    served: Served, tmp_path: Path, slept: list[float]
) -> None:
    served.statuses, served.retry_after = [503, 429], "7"
    download(served.url, tmp_path / "file", sleep=slept.append)
    assert slept == [7, 7]


def test_download_waits_longer_from_try_to_try(
    served: Served, tmp_path: Path, slept: list[float]
) -> None:
    served.statuses = [500] * 5
    with pytest.raises(DownloadError, match=r"HTTP 500 .* \(5 attempts\)"):
        download(served.url, tmp_path / "file", sleep=slept.append)
    assert len(slept) == 4
    assert slept == sorted(slept)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_download_that_is_refused_is_not_tried_again(
    served: Served, tmp_path: Path, status: int
) -> None:
    served.statuses = [status]
    with pytest.raises(DownloadError, match=f"HTTP {status}"):
        download(served.url, tmp_path / "file")
    assert len(served.requests) == 1
    assert not (tmp_path / "file").exists()


def test_download_of_a_web_page_raises(served: Served, tmp_path: Path) -> None:
    served.content_type = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="answers with a web page"):
        download(served.url, tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_download_goes_through_proxy(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", served.url.removesuffix("/weights/l1c.hdf5"))
    download("http://weights.invalid/l1c.hdf5", tmp_path / "file")
    assert served.requests == [("http://weights.invalid/l1c.hdf5", None)]


def test_download_from_nowhere_says_so(tmp_path: Path, slept: list[float]) -> None:
    with pytest.raises(DownloadError, match=r"cannot fetch http://127.0.0.1:9/x: .*2 attempts"):
        download("http://127.0.0.1:9/x", tmp_path / "file", attempts=2, sleep=slept.append)


def test_download_hides_credentials(served: Served, tmp_path: Path) -> None:
    served.statuses = [404]
    url = served.url.replace("http://", "http://me:secret@") + "?token=secret"
    with pytest.raises(DownloadError) as caught:
        download(url, tmp_path / "file")
    assert "secret" not in str(caught.value)
    served.cuts = [1000]
    with pytest.raises(DownloadError):
        download(url, tmp_path / "file", attempts=1)
    assert all(b"secret" not in path.read_bytes() for path in tmp_path.iterdir())
    assert public_url(url) == served.url


def test_download_of_unknown_scheme_raises(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="only http, https and file are read"):
        download("ftp://example.invalid/file", tmp_path / "file")


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_download_from_folder_copies(tmp_path: Path, prefix: str) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "l1c.hdf5").write_bytes(CONTENT)
    url = resolve_url("http://example.invalid/a/b/l1c.hdf5?x=1", f"{prefix}{tmp_path}/mirror/")
    download(url, tmp_path / "out" / "file")
    assert_clean(tmp_path / "out" / "file")


def test_download_into_what_is_no_folder_raises(served: Served, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        download(served.url, tmp_path / "file" / "target")


_FETCH = (
    "import sys; from pathlib import Path; from kappamask_backend.download import download;"
    "download(sys.argv[1], Path(sys.argv[2]))"
)


def test_download_killed_in_the_middle_is_resumed(served: Served, tmp_path: Path) -> None:
    target = tmp_path / "file"
    served.content = CONTENT * 40
    command = [sys.executable, "-c", _FETCH, served.url, str(target)]
    process = subprocess.Popen(command)
    part = target.with_name("file.part")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (part.exists() and part.stat().st_size):
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    if not target.exists():
        download(served.url, target)
        assert served.requests[-1][1] is not None
    assert_clean(target, CONTENT * 40)


def test_download_while_another_process_does_raises(served: Served, tmp_path: Path) -> None:
    def other(_done: int, _total: int | None) -> None:
        with pytest.raises(DownloadError, match="another process is fetching file right now"):
            download(served.url, tmp_path / "file")

    download(served.url, tmp_path / "file", progress=other)
    assert_clean(tmp_path / "file")
