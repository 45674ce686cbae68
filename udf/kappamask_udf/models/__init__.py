"""Models: their descriptions (STAC MLM items), the registry, and where their files are."""

from kappamask_udf.models.registry import (
    ModelRegistry,
    RegisteredModel,
    load_registry,
    locate,
    verify_checksum,
)
from kappamask_udf.models.spec import (
    BandScaling,
    ModelSpec,
    Tiling,
    choose_variant,
    parse_model_item,
    read_model_item,
)

__all__ = [
    "BandScaling",
    "ModelRegistry",
    "ModelSpec",
    "RegisteredModel",
    "Tiling",
    "choose_variant",
    "load_registry",
    "locate",
    "parse_model_item",
    "read_model_item",
    "verify_checksum",
]
