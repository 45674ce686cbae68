"""What the environment says: where data lies, and how masks are published."""

import os
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _data_folder() -> Path:
    # Source of the default: XDG base directory specification.
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "kappamask"


class DataSettings(BaseSettings):
    """Where data of this installation lies."""

    model_config = SettingsConfigDict(
        env_prefix="KAPPAMASK_", extra="ignore", use_attribute_docstrings=True
    )

    data_folder: Path = Field(default_factory=_data_folder)
    """Folder for the catalog, its files and masks that are being made."""


class StacSettings(BaseSettings):
    """The store of collections and items."""

    model_config = SettingsConfigDict(
        env_prefix="KAPPAMASK_STAC_", extra="ignore", use_attribute_docstrings=True
    )

    store: str | None = None
    """`sqlite:///path` or `postgresql://user:password@host/database`; SQLite in the data folder by
    default."""
    claim_seconds: float = Field(default=60.0, ge=2)
    """How long a claim on a product holds without a sign of life."""
    host: str | None = None
    """Who runs this service, named as provider of the collections."""


class StorageSettings(BaseSettings):
    """Where files of published masks lie."""

    model_config = SettingsConfigDict(
        env_prefix="KAPPAMASK_STORAGE_", extra="ignore", use_attribute_docstrings=True
    )

    url: str | None = None
    """Folder or `s3://bucket/prefix`; a folder in the data folder by default."""


class ServeSettings(BaseSettings):
    """Who may do what over HTTP; what the STAC API itself can be told is beside it."""

    model_config = SettingsConfigDict(
        env_prefix="KAPPAMASK_API_", extra="ignore", use_attribute_docstrings=True
    )

    operator_token: SecretStr | None = Field(default=None, min_length=16)
    """Whoever sends it as bearer token is the operator: sees every collection, and changes them
    where transactions are enabled."""
