"""Which models the command line knows, where what belongs to them is kept, and how one is chosen
for a product.
"""

import os
from pathlib import Path

from kappamask_udf.errors import ModelError
from kappamask_udf.models import (
    ModelRegistry,
    RegisteredModel,
    load_registry,
    read_model_item,
)
from kappamask_udf.models.store import check_name
from kappamask_udf.pixels import Level

MODEL_FOLDER_VARIABLE = "KAPPAMASK_MODEL_FOLDER"
ENGINE_FOLDER_VARIABLE = "KAPPAMASK_ENGINE_FOLDER"


def user_model_folder() -> Path:
    """Where a user's own models are: `KAPPAMASK_MODEL_FOLDER`, or below the user's data folder.

    Source of the default: XDG base directory specification.
    """
    return _folder(MODEL_FOLDER_VARIABLE, "XDG_DATA_HOME", "~/.local/share", "models")


def engine_folder() -> Path:
    """Where TensorRT's engines are kept: `KAPPAMASK_ENGINE_FOLDER`, or below the user's cache."""
    return _folder(ENGINE_FOLDER_VARIABLE, "XDG_CACHE_HOME", "~/.cache", "engines")


def _folder(variable: str, base_variable: str, base: str, name: str) -> Path:
    given = os.environ.get(variable)
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get(base_variable) or base).expanduser() / "kappamask" / name


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


def check_user_name(name: str) -> str:
    """Return `name` if a user's own model may be called so.

    Raises:
        ModelError: it is no name, or that of a model that is not the user's own.
    """
    there = open_registry().models.get(check_name(name))
    if there is not None and there.origin != "user":
        raise ModelError(
            f"{name!r} is a model of {there.origin} already; choose another name with --as"
        )
    return name
