"""Result folders: all or nothing, whatever ends the process."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kappamask_catalog.publish.result import ResultFolder
from kappamask_udf.errors import OutputError, OutputExistsError

WORKER = """
import sys, time
from pathlib import Path
from kappamask_catalog.publish.result import ResultFolder
with ResultFolder(Path(sys.argv[1]), overwrite=True) as folder:
    (folder.path / "mask.tif").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
    folder.commit()
"""


def make_result(target: Path, text: str = "new", overwrite: bool = False) -> None:
    with ResultFolder(target, overwrite=overwrite) as folder:
        (folder.path / "mask.tif").write_text(text)
        (folder.path / "item.json").write_text('{"properties": {"kappamask:model": "m"}}')
        folder.commit()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def start_worker() -> Callable[[Path], "subprocess.Popen[str]"]:
    """A process in the middle of writing a result."""

    def start(target: Path) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", WORKER, str(target)]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        return worker

    return start


def end(worker: "subprocess.Popen[str]", number: signal.Signals) -> int:
    worker.send_signal(number)
    worker.communicate(timeout=30)
    return worker.returncode


def test_result_commit_makes_the_folder_visible(tmp_path: Path) -> None:
    make_result(tmp_path / "deep" / "out")
    assert names(tmp_path / "deep") == ["out"]
    assert names(tmp_path / "deep" / "out") == ["item.json", "mask.tif"]


def test_result_before_commit_nothing_visible(tmp_path: Path) -> None:
    with ResultFolder(tmp_path / "out") as folder:
        (folder.path / "mask.tif").write_text("half")
        assert not (tmp_path / "out").exists()
        assert [name for name in names(tmp_path) if not name.startswith(".")] == []
        folder.commit()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_result_exception_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with ResultFolder(tmp_path / "out") as folder:
            (folder.path / "mask.tif").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == []


def test_result_without_commit_leaves_nothing(tmp_path: Path) -> None:
    with ResultFolder(tmp_path / "out") as folder:
        (folder.path / "mask.tif").write_text("half")
    assert names(tmp_path) == []


def test_result_existing_needs_overwrite(tmp_path: Path) -> None:
    make_result(tmp_path / "out", "old")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        ResultFolder(tmp_path / "out")
    assert (tmp_path / "out" / "mask.tif").read_text() == "old"


def test_result_overwrite_replaces_the_old_one(tmp_path: Path) -> None:
    make_result(tmp_path / "out", "old")
    (tmp_path / "out" / "probabilities.tif").write_text("old")
    (tmp_path / "out" / "mask.tif.aux.xml").write_text("statistics")
    make_result(tmp_path / "out", "new", overwrite=True)
    assert names(tmp_path / "out") == ["item.json", "mask.tif"]
    assert (tmp_path / "out" / "mask.tif").read_text() == "new"
    assert names(tmp_path) == ["out"]


def test_result_overwrite_that_fails_keeps_the_old_one(tmp_path: Path) -> None:
    make_result(tmp_path / "out", "old")

    def fail() -> None:
        with ResultFolder(tmp_path / "out", overwrite=True) as folder:
            (folder.path / "mask.tif").write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (tmp_path / "out" / "mask.tif").read_text() == "old"


def test_result_swap_that_fails_brings_the_old_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_result(tmp_path / "out", "old")
    rename = Path.rename

    def fail_for_new(self: Path, target: Path) -> Path:
        if (self / "new").exists():
            raise OSError(5, "Input/output error")
        return rename(self, target)

    with ResultFolder(tmp_path / "out", overwrite=True) as folder:
        (folder.path / "new").touch()
        monkeypatch.setattr(Path, "rename", fail_for_new)
        with pytest.raises(OutputError, match="Input/output"):
            folder.commit()
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "mask.tif").read_text() == "old"


def test_result_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    make_result(tmp_path / "out")
    assert "mask.tif" in names(tmp_path / "out")


@pytest.mark.parametrize("foreign", ["thesis.docx", "package.json", "mask.tif.bak", "folder/"])
def test_result_folder_with_other_files_is_never_replaced(tmp_path: Path, foreign: str) -> None:
    make_result(tmp_path / "out", "old")
    other = tmp_path / "out" / foreign
    if foreign.endswith("/"):
        other.mkdir()
    else:
        other.write_text("{}")
    with pytest.raises(OutputError, match=foreign.strip("/")):
        ResultFolder(tmp_path / "out", overwrite=True)
    assert other.exists()


def test_result_foreign_file_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    with ResultFolder(tmp_path / "out", overwrite=True) as folder:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "notes").touch()
        with pytest.raises(OutputError, match="notes"):
            folder.commit()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["notes"]


def test_result_target_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="no folder"):
        ResultFolder(tmp_path / "out", overwrite=True)


@pytest.mark.parametrize("name", ["mask.tif", "mask.TIFF"])
def test_result_target_named_like_a_raster_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        ResultFolder(tmp_path / name)


def test_result_parent_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match="choose another folder"),
        ResultFolder(tmp_path / "file" / "out"),
    ):
        pass


def test_result_parent_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path, *arguments: object, **keywords: object) -> None:
        raise PermissionError(13, "Permission denied")

    folder = ResultFolder(tmp_path / "out")
    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(OutputError, match="Permission denied; choose another folder"):
        folder.__enter__()


def test_result_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device")
    with (
        pytest.raises(OutputError, match=r"disk is full.*MB are free") as raised,
        ResultFolder(tmp_path / "out"),
    ):
        raise full
    assert "\n" not in str(raised.value)
    assert names(tmp_path) == []


def test_result_terminated_process_leaves_nothing(
    tmp_path: Path, start_worker: Callable[[Path], "subprocess.Popen[str]"]
) -> None:
    assert end(start_worker(tmp_path / "out"), signal.SIGTERM) == 128 + signal.SIGTERM
    assert names(tmp_path) == []


def test_result_killed_process_leaves_no_result_and_the_next_start_cleans_up(
    tmp_path: Path, start_worker: Callable[[Path], "subprocess.Popen[str]"]
) -> None:
    end(start_worker(tmp_path / "out"), signal.SIGKILL)
    (leftover,) = names(tmp_path)
    assert leftover.startswith(".out.partial-")
    make_result(tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_result_of_a_live_process_is_left_alone(
    tmp_path: Path, start_worker: Callable[[Path], "subprocess.Popen[str]"]
) -> None:
    worker = start_worker(tmp_path / "out")
    try:
        make_result(tmp_path / "out")
        assert len(names(tmp_path)) == 2
    finally:
        end(worker, signal.SIGTERM)
    assert names(tmp_path) == ["out"]


def test_result_swap_that_was_killed_gets_the_old_one_back(
    tmp_path: Path, start_worker: Callable[[Path], "subprocess.Popen[str]"]
) -> None:
    worker = start_worker(tmp_path / "out")
    (partial,) = names(tmp_path)
    end(worker, signal.SIGKILL)
    (tmp_path / f"{partial}-old").mkdir()
    (tmp_path / f"{partial}-old" / "mask.tif").write_text("old")
    with ResultFolder(tmp_path / "out"):
        assert (tmp_path / "out" / "mask.tif").read_text() == "old"
    assert names(tmp_path) == ["out"]


def test_result_handler_of_sigterm_is_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with ResultFolder(tmp_path / "out"):
        pass
    assert signal.getsignal(signal.SIGTERM) is before


def test_result_folder_has_the_mode_of_new_folders(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    make_result(tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode
