"""Store, storage and work folder of this installation, as the environment says."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from kappamask_backend.settings import DataSettings, StacSettings, StorageSettings
from kappamask_catalog.storage import MaskStorage, open_storage
from kappamask_catalog.store.base import Store
from kappamask_catalog.store.opening import open_store
from kappamask_udf.errors import KappamaskError


@dataclass(frozen=True)
class Installation:
    """What commands work on."""

    store: Store
    storage: MaskStorage
    data_folder: Path
    stac: StacSettings

    @property
    def work_folder(self) -> Path:
        """For masks that are being made."""
        return self.data_folder / "work"


def store_url(data: DataSettings, stac: StacSettings) -> str:
    """Address of the store."""
    return stac.store or f"sqlite://{data.data_folder.absolute() / 'catalog.sqlite'}"


@contextmanager
def open_installation(data_folder: Path | None = None) -> Iterator[Installation]:
    """Store and storage, closed at the end.

    Args:
        data_folder: instead of that of the settings; store and storage are in it then.

    Raises:
        KappamaskError: a setting is wrong, or the store cannot be opened.
    """
    data, stac, storage = read_settings()
    if data_folder is not None:
        data = DataSettings(data_folder=data_folder)
        stac, storage = stac.model_copy(update={"store": None}), StorageSettings(url=None)
    folder = data.data_folder.expanduser().absolute()
    store = open_store(store_url(data, stac))
    try:
        files = open_storage(storage.url or str(folder / "masks"))
        yield Installation(store, files, folder, stac)
    finally:
        store.close()


def read_settings() -> tuple[DataSettings, StacSettings, StorageSettings]:
    """The settings of the environment.

    Raises:
        KappamaskError: one of them has a value that it cannot have.
    """
    try:
        return DataSettings(), StacSettings(), StorageSettings()
    except ValidationError as error:
        raise KappamaskError(describe_settings_error(error)) from error


def describe_settings_error(error: ValidationError) -> str:
    """Which setting is wrong, and why, in one line and without its value."""
    prefix = {"DataSettings": "KAPPAMASK_", "StacSettings": "KAPPAMASK_STAC_"}.get(
        error.title, "KAPPAMASK_STORAGE_" if error.title == "StorageSettings" else "KAPPAMASK_API_"
    )
    first = error.errors(include_input=False, include_url=False)[0]
    name = "_".join(str(part) for part in first["loc"]).upper()
    return f"the setting {prefix}{name} is wrong: {first['msg']}"
