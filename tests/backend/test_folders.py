"""Where a user's models and engines are kept."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kappamask_backend.model_choice import engine_folder, user_model_folder

FOLDERS = [
    (user_model_folder, "KAPPAMASK_MODEL_FOLDER", "XDG_DATA_HOME", ".local/share", "models"),
    (engine_folder, "KAPPAMASK_ENGINE_FOLDER", "XDG_CACHE_HOME", ".cache", "engines"),
]


@pytest.mark.parametrize(("folder", "variable", "base_variable", "base", "name"), FOLDERS)
def test_folder_by_its_own_variable_then_xdg_then_home(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    folder: Callable[[], Path],
    variable: str,
    base_variable: str,
    base: str,
    name: str,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(base_variable, raising=False)
    assert folder() == tmp_path / base / "kappamask" / name
    monkeypatch.setenv(base_variable, str(tmp_path / "xdg"))
    assert folder() == tmp_path / "xdg" / "kappamask" / name
    monkeypatch.setenv(variable, "~/mine")
    assert folder() == tmp_path / "mine"
