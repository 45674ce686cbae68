"""Which models the command line knows, and how one is chosen for a product."""

import os
from pathlib import Path

from kappamask_udf.models import (
    ModelRegistry,
    RegisteredModel,
    load_registry,
    read_model_item,
)
from kappamask_udf.pixels import Level

MODEL_FOLDER_VARIABLE = "KAPPAMASK_MODEL_FOLDER"


def user_model_folder() -> Path:
    """Where a user's own models are: `KAPPAMASK_MODEL_FOLDER`, or below the user's data folder.

    Source of the default: XDG base directory specification.
    """
    given = os.environ.get(MODEL_FOLDER_VARIABLE)
    if given:
        return Path(given).expanduser()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "kappamask" / "models"


def open_registry() -> ModelRegistry:
    """All models of this installation and this user."""
    return load_registry(user_model_folder())


def choose_model(name: str | None, level: Level) -> RegisteredModel:
    """The model called `name` (or described by the item at that path), else the level's default.

    Raises:
        ModelError: it is not there or cannot be used.
    """
    if name is None:
        return open_registry().default(level)
    if name.endswith(".json"):
        return RegisteredModel(read_model_item(Path(name)), "file")
    return open_registry().get(name)
