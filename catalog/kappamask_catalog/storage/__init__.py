"""Where the files of published masks lie: a local folder or S3, behind one interface."""

from kappamask_catalog.storage.base import (
    MaskStorage,
    StoredFile,
    check_key,
    key_part,
    media_type_of,
)
from kappamask_catalog.storage.folder import FolderStorage
from kappamask_catalog.storage.opening import open_storage

__all__ = [
    "FolderStorage",
    "MaskStorage",
    "StoredFile",
    "check_key",
    "key_part",
    "media_type_of",
    "open_storage",
]
