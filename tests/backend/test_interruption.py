"""What is left when a run is stopped in the middle or the disk is full: nothing half-written."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kappamask_catalog.scene import DemoScene, write_product

KAPPAMASK = [sys.executable, "-c", "from kappamask_backend.cli import main; main()"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product of four tiles, which takes seconds to mask."""
    return write_product(DemoScene(size_px=1020), tmp_path_factory.mktemp("large")).safe


def start(product: Path, folder: Path, *options: str) -> subprocess.Popen[str]:
    """`kappamask mask` writing to `folder/out`, stopped by the caller."""
    command = [*KAPPAMASK, "mask", str(product), "-o", str(folder / "out"), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until_writing(folder: Path, process: subprocess.Popen[str]) -> None:
    """Until the first tile is being worked on: the raster aside has been opened."""
    deadline = time.monotonic() + 60
    while not list(folder.glob(".out.partial-*/.mask.tif.partial-*/*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_nothing_and_exits_130(
    large: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = start(large, tmp_path)
    wait_until_writing(tmp_path, process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "interrupted; nothing was written" in stderr
    assert "Traceback" not in stderr
    assert entries(tmp_path) == []


def test_interrupt_while_overwriting_keeps_the_old_result(large: Path, tmp_path: Path) -> None:
    first = start(large, tmp_path, "-q")
    _, stderr = first.communicate(timeout=120)
    assert first.returncode == 0, stderr
    before = (tmp_path / "out" / "mask.tif").read_bytes()
    process = start(large, tmp_path, "--overwrite")
    wait_until_writing(tmp_path, process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert entries(tmp_path) == ["out"]
    assert (tmp_path / "out" / "mask.tif").read_bytes() == before


def test_killed_run_shows_no_result_and_the_next_one_cleans_up(large: Path, tmp_path: Path) -> None:
    process = start(large, tmp_path)
    wait_until_writing(tmp_path, process)
    process.kill()
    process.communicate(timeout=60)
    assert not (tmp_path / "out").exists()
    assert len(entries(tmp_path)) == 1
    _, stderr = (again := start(large, tmp_path, "-q")).communicate(timeout=120)
    assert again.returncode == 0, stderr
    assert entries(tmp_path) == ["out"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_is_one_line_and_leaves_nothing(large: Path, small_disk: Path) -> None:
    process = start(large, small_disk, "-q")
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 1
    assert stderr.count("\n") == 1, stderr
    assert "full" in stderr
    assert entries(small_disk) == []


def test_folder_without_permission_is_one_line(large: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        target = Path("/proc/out")
    else:
        tmp_path.chmod(0o500)
        target = tmp_path / "out"
    command = [*KAPPAMASK, "mask", str(large), "-o", str(target), "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write into")
    assert done.stderr.count("\n") == 1, done.stderr
