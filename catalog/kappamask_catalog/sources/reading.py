"""How the products of one collection are read: which asset is which band, whether the offset is
in the numbers still, and who we are to the S3 server where they lie.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import rasterio
from rasterio.session import Session

from kappamask_catalog.sources.documents import HTTP_TIMEOUT_S, MAX_DOCUMENT_BYTES, read_document
from kappamask_udf.errors import ProductError

OffsetRule = Literal["metadata", "applied", "property"]
"""Where it is told whether the offset has been subtracted from the rasters already.

`metadata`: it has not; the offset is in the product's metadata or the fields of the asset.
`applied`: it has, in all items. `property`: a flag of the item decides, and without it, as
`metadata`.
"""


@dataclass(frozen=True)
class S3Access:
    """Who we are to an S3 server, and where it is."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    endpoint: str | None = None
    """Address with scheme; Amazon's if `None`."""
    region: str = "us-east-1"
    requester_pays: bool = False
    """Agree to pay for what is read, where the bucket asks for it."""


@dataclass(frozen=True)
class ReadOptions:
    """What items do not tell, or tell wrongly."""

    band_assets: Mapping[str, str] = field(default_factory=dict)
    """Key of the asset by band name; other bands are found as usual."""
    offset: OffsetRule = "property"
    s3: S3Access | None = None
    """For `s3:` links; by default what is in the environment for GDAL."""


class _S3Session(Session):  # type: ignore[misc] # rasterio has no types
    """Hands keys to GDAL; rasterio takes them in no other way."""

    def __init__(self, access: S3Access) -> None:
        endpoint = urlsplit(access.endpoint or "https://s3.amazonaws.com")
        self._options = {
            "AWS_ACCESS_KEY_ID": access.access_key,
            "AWS_SECRET_ACCESS_KEY": access.secret_key,
            "AWS_SESSION_TOKEN": access.token or "",
            "AWS_REGION": access.region,
            "AWS_S3_ENDPOINT": endpoint.netloc,
            "AWS_HTTPS": "NO" if endpoint.scheme == "http" else "YES",
            # Names of buckets are no hosts on most servers other than Amazon's.
            "AWS_VIRTUAL_HOSTING": "TRUE" if access.endpoint is None else "FALSE",
            "AWS_REQUEST_PAYER": "requester" if access.requester_pays else "",
        }

    def get_credential_options(self) -> dict[str, str]:
        """See `rasterio.session.Session`."""
        return self._options


def gdal_env(options: Mapping[str, Any], access: S3Access | None) -> rasterio.Env:
    """GDAL's configuration for a while, in this thread."""
    return rasterio.Env(session=None if access is None else _S3Session(access), **options)


def read_any_document(href: str, access: S3Access | None) -> bytes:
    """`read_document`, from S3, too, where it is known who we are there.

    Raises:
        ProductError: it is missing, unreachable, forbidden or too large.
    """
    parts = urlsplit(href)
    if parts.scheme != "s3" or access is None:
        return read_document(href)
    try:
        import obstore
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError as error:
        raise ProductError(
            f"{href} cannot be read: install 'openeo-kappamask[s3]' for documents in S3"
        ) from error
    config: Any = {
        "access_key_id": access.access_key,
        "secret_access_key": access.secret_key,
        "region": access.region,
    }
    if access.token:
        config["session_token"] = access.token
    if access.endpoint:
        # Before what the environment says of another server.
        config["aws_endpoint_url_s3"] = access.endpoint
    if access.requester_pays:
        config["request_payer"] = True
    client: Any = {"timeout": timedelta(seconds=HTTP_TIMEOUT_S)}
    client["allow_http"] = (access.endpoint or "").startswith("http://")
    retry: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=HTTP_TIMEOUT_S)}
    try:
        store = S3Store(parts.netloc, config=config, client_options=client, retry_config=retry)
        answer = obstore.get(store, parts.path.lstrip("/"))
        if answer.meta["size"] > MAX_DOCUMENT_BYTES:
            raise ProductError(f"{href} is larger than {MAX_DOCUMENT_BYTES >> 20} MiB")
        return bytes(answer.bytes())
    except (BaseError, OSError, ValueError) as error:
        kind = type(error).__name__.removesuffix("Error")
        raise ProductError(f"{href} cannot be read from S3: {kind}") from error
