"""From an address to a storage."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from kappamask_catalog.storage.base import MaskStorage
from kappamask_catalog.storage.folder import FolderStorage
from kappamask_udf.errors import StorageError


def open_storage(url: str) -> MaskStorage:
    """The storage at an address. Nothing is contacted or made before it is used.

    Args:
        url: `/path`, `file:///path` or `s3://bucket/prefix`. How S3 is reached comes from the
            environment: `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`,
            `AWS_SECRET_ACCESS_KEY` and the others that obstore reads.

    Raises:
        StorageError: it is no such address, or S3 is not configured.
        MissingExtraError: for S3, obstore is not installed.
    """
    if not url.strip():
        raise StorageError("the address of the storage is empty; give a path or s3://bucket/prefix")
    if "://" not in url:
        return FolderStorage(Path(url).expanduser())
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return FolderStorage(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc and "@" not in parts.netloc:
        if parts.query or parts.fragment:
            raise StorageError(
                f"s3://{parts.netloc}{parts.path} must not be followed by ? or #; endpoint and "
                "credentials come from the environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...)"
            )
        from kappamask_catalog.storage.s3 import S3Storage  # obstore is an extra

        return S3Storage(parts.netloc, parts.path.strip("/"))
    raise StorageError(
        f"{parts.scheme}: is no address of a storage; give /path, file:///path or "
        "s3://bucket/prefix, without user and password"
    )
