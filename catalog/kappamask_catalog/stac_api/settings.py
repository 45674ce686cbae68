"""What an operator may set of the STAC API, from `KAPPAMASK_API_*`."""

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MIN_SECRET_CHARACTERS = 16
"""128 bits in hexadecimal are 32; shorter than this can be tried out."""


class StacApiSettings(BaseSettings):
    """Settings of the STAC API."""

    model_config = SettingsConfigDict(
        env_prefix="KAPPAMASK_API_", extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    catalog_id: str = "kappamask"
    """Id of the root catalog."""
    title: str = "kappamask"
    """Title of the root catalog, for people."""
    description: str = "Cloud masks of Sentinel-2 products, pixel by pixel, with their models."
    """What the service offers, for people; CommonMark."""
    public_url: str | None = None
    """Address of the service as users see it, such as `https://masks.example/stac`. Without it,
    the address comes from the request and from what proxies forward."""
    sign_all: bool = False
    """Links to files of public collections are signed and end, too."""
    link_seconds: int = Field(default=3600, ge=60, le=7 * 86400)
    """How long a signed link to a file works, seconds."""
    secret: SecretStr | None = None
    """Signs links to files, the same in all processes: 16 characters at least. Without it, files
    of private collections cannot be linked."""
    enable_transactions: bool = False
    """Collections and items may be changed over HTTP, by operators and owners."""

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query:
            raise ValueError(f"must be an http or https address without a query (got {value!r})")
        return value.rstrip("/")

    @field_validator("secret")
    @classmethod
    def _check_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < MIN_SECRET_CHARACTERS:
            raise ValueError(f"must have {MIN_SECRET_CHARACTERS} characters or more")
        return value

    @model_validator(mode="after")
    def _check_signing(self) -> Self:
        if self.sign_all and self.secret is None:
            raise ValueError("KAPPAMASK_API_SIGN_ALL needs KAPPAMASK_API_SECRET")
        return self
