"""What a model says of itself: a STAC item with the Machine Learning Model (MLM) extension.

Nothing about a model is a constant in code. The standard fields give bands, tensors, scaling,
classes, file and checksum; what MLM has no field for (level, resolution, tiling, blending) is
in properties prefixed `kappamask:`, see docs/reference/models.md.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from kappamask_udf.bands import BANDS
from kappamask_udf.classes import MaskClass
from kappamask_udf.devices import Precision
from kappamask_udf.errors import ModelError
from kappamask_udf.models.profiles import Chosen, apply_choice
from kappamask_udf.pixels import NATIVE_RESOLUTION_M, Level

MULTIHASH_SHA256 = "1220"
"""Prefix of a sha2-256 multihash of 32 bytes. Source: multiformats table; the STAC file
extension stores checksums so."""

InputUnit = Literal["reflectance", "dn_fraction"]
Layout = Literal["nchw", "nhwc"]
StitchMethod = Literal["blend", "crop"]
TileCount = Literal["cover", "stride"]
Activation = Literal["none", "softmax"]
Resampling = Literal["context", "sinc_per_tile"]
OffsetUse = Literal["data", "data_and_maxima_twice", "ignored"]
MissingRule = Literal["class", "as_predicted"]

_LAYOUTS: dict[tuple[str, ...], Layout] = {
    ("batch", "bands", "height", "width"): "nchw",
    ("batch", "channel", "height", "width"): "nchw",
    ("batch", "height", "width", "bands"): "nhwc",
    ("batch", "height", "width", "channel"): "nhwc",
}
RESOLUTIONS_M = (10, 20, 30, 60)


@dataclass(frozen=True)
class BandScaling:
    """Network input from a band's value: `(value - center) / spread`."""

    center: float
    spread: float


@dataclass(frozen=True)
class Tiling:
    """How a product is cut into model windows and put together again; pixels of the model's grid.

    Tile `k` of an axis covers `[origin + k * stride, origin + k * stride + tile)`.
    """

    tile_px: int
    stride_px: int
    origin_px: int
    """Where the first tile begins; 0 or negative."""
    stitch: StitchMethod
    """`blend`: weighted mean; `crop`: `crop_px` are cut from inner sides, none from outer ones."""
    crop_px: int = 0
    tukey_alpha: float = 0.0
    """Share of the tapered-cosine window inside its tapers (`blend`)."""
    count: TileCount = "cover"
    """`cover`: as few as reach the end; `stride`: one per stride begun, as km_predict counts."""


@dataclass(frozen=True)
class ModelSpec:
    """A model, as its MLM item describes it."""

    name: str
    version: str
    title: str
    level: Level
    bands: tuple[str, ...]
    """In the order of the network's input."""
    scaling: tuple[BandScaling, ...]
    """One per band."""
    input_unit: InputUnit
    """What is scaled: `reflectance` 0-1 after offset, or `dn_fraction` = (DN + offset) / 65535."""
    clip: tuple[float | None, float | None]
    """Bounds of the value before scaling; saturated pixels are brought to the upper one."""
    resolution_m: int
    tiling: Tiling
    classes: tuple[MaskClass, ...]
    """The mask class of each output channel."""
    layout: Layout
    activation: Activation
    """What turns the outputs into probabilities: `softmax` for logits, `none` if they are."""
    href: str
    """Where the ONNX file is: a path, relative to the item, or a package URL
    `pkg:pypi/NAME@VERSION#path/in/package`."""
    sha256: str
    """Lower-case hex digest of the ONNX file."""
    size_bytes: int | None
    license: str
    precision: Precision
    """Of the network's arithmetic; of weights and activations for `int8`."""
    item: Mapping[str, Any]
    """The whole MLM item."""
    base: Path | None
    """Folder that a relative `href` is relative to."""
    resampling: Resampling = "context"
    """`context`: on the product's grid, mirrored beyond it; `sinc_per_tile`: each tile's own cut of
    a band stretched to the tile, zeros beyond the product, as km_predict does."""
    offset_use: OffsetUse = "data"
    """What the product's offset is added to; `data_and_maxima_twice` as km_predict does."""
    missing_rule: MissingRule = "class"
    """`class`: pixels without data are class 5; `as_predicted`: they are what the network says."""
    profile: str | None = None
    """Name of the profile that was chosen; `None` where the item has none."""
    tiling_name: str | None = None
    """Name of the tiling that was chosen in place of the profile's own."""

    @property
    def grid_factor(self) -> int:
        """10 m pixels per model pixel along one axis."""
        return self.resolution_m // 10

    @property
    def run_name(self) -> str:
        """The name, and what makes a run another one than the item's own: profile and tiling."""
        default = self.item["properties"].get("kappamask:default_profile")
        other = self.profile if self.profile != default else None
        return "_".join(part for part in (self.name, other, self.tiling_name) if part)

    @property
    def not_predicted(self) -> tuple[MaskClass, ...]:
        """Surface classes that the model never gives (`UNDEFINED` and `MISSING` are no surface)."""
        surface = (
            MaskClass.CLEAR, MaskClass.CLOUD_SHADOW,
            MaskClass.SEMI_TRANSPARENT_CLOUD, MaskClass.CLOUD,
        )  # fmt: skip
        return tuple(one for one in surface if one not in self.classes)


def read_model_item(path: Path) -> ModelSpec:
    """The model described by the MLM item in a JSON file.

    Raises:
        ModelError: unreadable, no JSON, or not a description that can be run.
    """
    try:
        item = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"cannot read the model item {path}: {error.strerror}") from error
    except ValueError as error:
        raise ModelError(f"{path} is not a model item: not valid JSON ({error})") from error
    return parse_model_item(item, base=path.parent, origin=str(path))


def parse_model_item(
    item: Mapping[str, Any],
    base: Path | None = None,
    origin: str = "model item",
    chosen: Chosen | None = None,
) -> ModelSpec:
    """The model described by an MLM item.

    Args:
        item: the STAC item as JSON.
        base: folder that a relative asset href is relative to.
        origin: where the item came from, for messages.
        chosen: one of the item's profiles and tilings; by default what the item says.

    Raises:
        ModelError: a field is missing or has a value that the engine cannot run, or no profile or
            tiling has the name.
    """
    try:
        return _parse(item, base, chosen or Chosen())
    except KeyError as error:
        raise ModelError(f"{origin}: the model item lacks {error.args[0]!r}") from error
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise ModelError(f"{origin}: {error}") from error


def choose_variant(
    spec: ModelSpec, profile: str | None = None, tiling: str | None = None
) -> ModelSpec:
    """The same network run in another way that its item describes.

    Raises:
        ModelError: the item has no profile or tiling of that name; the message lists them.
    """
    if profile is None and tiling is None:
        return spec
    chosen = Chosen(profile, tiling)
    return parse_model_item(spec.item, spec.base, f"model {spec.name!r}", chosen)


def _parse(item: Mapping[str, Any], base: Path | None, chosen: Chosen) -> ModelSpec:
    properties, chosen = apply_choice(item["properties"], chosen)
    model_input, model_output = _only(properties["mlm:input"]), _only(properties["mlm:output"])
    bands = _parse_bands(model_input["bands"])
    asset = _model_asset(item["assets"])
    resolution_m = int(properties["kappamask:resolution"])
    if resolution_m not in RESOLUTIONS_M:
        raise ValueError(f"kappamask:resolution must be one of {RESOLUTIONS_M}, got {resolution_m}")
    tiling = _parse_tiling(properties["kappamask:tiling"])
    layout = _parse_layout(model_input["input"], model_output["result"])
    _check_tensor(model_input["input"], layout, len(bands), tiling.tile_px)
    classes = _parse_classes(model_output["classification:classes"])
    value_scaling = model_input["value_scaling"]
    spec = ModelSpec(
        name=str(properties["mlm:name"]),
        version=str(properties["version"]),
        title=str(properties["title"]),
        level=_choice(properties, "kappamask:level", Level),
        bands=bands,
        scaling=_parse_scaling(value_scaling, len(bands)),
        input_unit=_choice(properties, "kappamask:input_unit", InputUnit),
        clip=_parse_clip(properties.get("kappamask:clip", (None, None))),
        resolution_m=resolution_m,
        tiling=tiling,
        classes=classes,
        layout=layout,
        activation=_choice(properties, "kappamask:activation", Activation),
        href=str(asset["href"]),
        sha256=_parse_checksum(asset["file:checksum"]),
        size_bytes=asset.get("file:size"),
        license=str(properties.get("license", "other")),
        precision=_choice(properties, "kappamask:precision", Precision, "fp32"),
        item=item,
        base=base,
        resampling=_choice(properties, "kappamask:resampling", Resampling, "context"),
        offset_use=_choice(properties, "kappamask:offset", OffsetUse, "data"),
        missing_rule=_choice(properties, "kappamask:missing", MissingRule, "class"),
        profile=chosen.profile,
        tiling_name=chosen.tiling,
    )
    _check_way(spec, {entry["type"] for entry in value_scaling})
    return spec


def _only(entries: Sequence[Any]) -> Any:
    if len(entries) != 1:
        raise ValueError(f"models have one input and one output tensor, found {len(entries)}")
    return entries[0]


def _choice(
    properties: Mapping[str, Any], field: str, literal: Any, default: str | None = None
) -> Any:
    """The value of a field that has one of a few; required where it has no default."""
    if default is None:
        return _one_of(literal, field, properties[field])
    return _one_of(literal, field, properties.get(field, default))


def _one_of(literal: Any, field: str, value: Any) -> Any:
    allowed = get_args(literal)
    if value not in allowed:
        raise ValueError(f"{field} must be one of {', '.join(allowed)}, got {value!r}")
    return value


def _parse_bands(entries: Sequence[Any]) -> tuple[str, ...]:
    names = tuple(entry["name"] if isinstance(entry, Mapping) else str(entry) for entry in entries)
    unknown = [name for name in names if name not in BANDS]
    if unknown or not names:
        raise ValueError(
            f"input bands must be of {', '.join(BANDS)}, found {', '.join(unknown) or 'none'}"
        )
    return names


def _parse_scaling(entries: Sequence[Mapping[str, Any]], n_bands: int) -> tuple[BandScaling, ...]:
    scaling = tuple(_parse_one_scaling(entry) for entry in entries)
    if len(scaling) == 1:
        scaling *= n_bands
    if len(scaling) != n_bands:
        raise ValueError(f"value_scaling has {len(scaling)} entries for {n_bands} bands")
    return scaling


def _parse_one_scaling(entry: Mapping[str, Any]) -> BandScaling:
    if entry["type"] == "z-score":
        result = BandScaling(float(entry["mean"]), float(entry["stddev"]))
    elif entry["type"] == "min-max":
        low = float(entry["minimum"])
        result = BandScaling(low, float(entry["maximum"]) - low)
    else:
        raise ValueError(f"value_scaling type must be z-score or min-max, got {entry['type']!r}")
    if not result.spread > 0:
        raise ValueError(f"value_scaling must have a positive spread, got {result.spread}")
    return result


def _parse_clip(bounds: Sequence[float | None]) -> tuple[float | None, float | None]:
    low, high = bounds
    if low is not None and high is not None and not low < high:
        raise ValueError(f"kappamask:clip must be [low, high] with low < high, got {list(bounds)}")
    return low, high


def _check_way(spec: ModelSpec, scaling_types: set[str]) -> None:
    """Refuse ways of running that do not go together."""
    if spec.offset_use == "data_and_maxima_twice" and scaling_types != {"min-max"}:
        raise ValueError("kappamask:offset data_and_maxima_twice needs value_scaling min-max")
    if spec.resampling == "sinc_per_tile" and (
        spec.resolution_m != NATIVE_RESOLUTION_M or spec.missing_rule != "as_predicted"
    ):
        raise ValueError(
            "kappamask:resampling sinc_per_tile is for the 10 m grid and looks at no mask: it "
            "needs kappamask:resolution 10 and kappamask:missing as_predicted"
        )


def _parse_tiling(entry: Mapping[str, Any]) -> Tiling:
    tiling = Tiling(
        tile_px=int(entry["tile"]),
        stride_px=int(entry["stride"]),
        origin_px=int(entry.get("origin", 0)),
        stitch=_one_of(StitchMethod, "kappamask:tiling stitch", entry["stitch"]),
        crop_px=int(entry.get("crop", 0)),
        tukey_alpha=float(entry.get("tukey_alpha", 0.0)),
        count=_one_of(TileCount, "kappamask:tiling count", entry.get("count", "cover")),
    )
    overlap_px = tiling.tile_px - tiling.stride_px
    if not 0 < tiling.stride_px <= tiling.tile_px:
        raise ValueError(
            f"tiling stride must be in 1..tile, got {tiling.stride_px} for {tiling.tile_px}"
        )
    if tiling.stitch == "crop" and not 0 <= 2 * tiling.crop_px <= overlap_px:
        raise ValueError(
            f"tiling crop must be at most half the overlap, got {tiling.crop_px} for {overlap_px}"
        )
    if tiling.stitch == "blend" and tiling.count != "cover":
        raise ValueError("tiling count must be cover where tiles are blended")
    if not -tiling.tile_px < tiling.origin_px <= 0:
        raise ValueError(f"tiling origin must be in -tile+1..0, got {tiling.origin_px}")
    _check_blending(tiling)
    return tiling


def _check_blending(tiling: Tiling) -> None:
    if not 0 <= tiling.tukey_alpha <= 1:
        raise ValueError(f"tiling tukey_alpha must be in 0..1, got {tiling.tukey_alpha}")
    # A tapered window is zero in its first and last position: some tile must have weight in
    # every cell, the outermost included.
    zeros = 1 if tiling.tukey_alpha > 0 else 0
    is_covering = tiling.origin_px <= -zeros and tiling.stride_px <= tiling.tile_px - 2 * zeros
    if tiling.stitch == "blend" and not is_covering:
        raise ValueError(
            f"blended tiles leave cells without weight: origin {tiling.origin_px}, stride "
            f"{tiling.stride_px}, tile {tiling.tile_px}; begin before 0 and overlap by 2 or more"
        )


def _parse_layout(tensor_in: Mapping[str, Any], tensor_out: Mapping[str, Any]) -> Layout:
    layouts = []
    for tensor in (tensor_in, tensor_out):
        order = tuple(tensor["dim_order"])
        if order not in _LAYOUTS:
            raise ValueError(f"dim_order must be batch, bands, height, width, got {list(order)}")
        if tensor["data_type"] != "float32":
            raise ValueError(f"tensors must be float32, got {tensor['data_type']}")
        layouts.append(_LAYOUTS[order])
    if layouts[0] != layouts[1]:
        raise ValueError(f"input and output must have one layout, got {layouts[0]}, {layouts[1]}")
    return layouts[0]


def _check_tensor(tensor: Mapping[str, Any], layout: Layout, n_bands: int, tile_px: int) -> None:
    tile = (n_bands, tile_px, tile_px) if layout == "nchw" else (tile_px, tile_px, n_bands)
    if tuple(tensor["shape"])[1:] != tile:
        raise ValueError(
            f"input shape must be [-1, {tile}] by bands and tile, got {tensor['shape']}"
        )


def _parse_classes(entries: Sequence[Mapping[str, Any]]) -> tuple[MaskClass, ...]:
    ordered = sorted(entries, key=lambda entry: int(entry["value"]))
    if [entry["value"] for entry in ordered] != list(range(len(ordered))):
        raise ValueError("classification:classes must have the values 0..n-1, one per channel")
    by_name = {mask_class.stac_name: mask_class for mask_class in MaskClass}
    unknown = [entry["name"] for entry in ordered if entry["name"] not in by_name]
    if unknown:
        raise ValueError(f"class names must be of {', '.join(by_name)}, found {', '.join(unknown)}")
    classes = tuple(by_name[entry["name"]] for entry in ordered)
    if len(set(classes)) != len(classes) or not classes:
        raise ValueError("each class must come from one output channel")
    return classes


def _model_asset(assets: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    models = [asset for asset in assets.values() if "mlm:model" in asset.get("roles", ())]
    if len(models) != 1:
        raise ValueError(f"the item must have one asset with role mlm:model, found {len(models)}")
    return models[0]


def _parse_checksum(multihash: str) -> str:
    text = multihash.lower()
    if not text.startswith(MULTIHASH_SHA256) or len(text) != len(MULTIHASH_SHA256) + 64:
        raise ValueError(f"file:checksum must be a sha2-256 multihash (1220...), got {multihash}")
    return text.removeprefix(MULTIHASH_SHA256)
