"""The STAC item of a mask: what was made, from what, by which model, and how cloudy it is."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pystac
import shapely
from affine import Affine
from pystac.utils import datetime_to_str
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from kappamask_catalog.publish.carried import carried_extensions, carried_properties
from kappamask_catalog.publish.classification import build_classification_classes
from kappamask_catalog.publish.footprint import (
    as_bbox,
    as_geojson,
    common_area,
    outline,
    valid_area,
)
from kappamask_catalog.sources.naming import acquisition_key, product_name, product_version
from kappamask_udf.classes import MaskClass
from kappamask_udf.models import ModelSpec
from kappamask_udf.models.spec import MULTIHASH_SHA256
from kappamask_udf.pixels import NATIVE_RESOLUTION_M

MODEL_ITEM_FILE = "model.json"
"""Copy of the model's MLM item beside the mask, so that the link to it always leads somewhere."""

_EXTENSION = "https://stac-extensions.github.io/{}/schema.json"
_EXTENSIONS = tuple(
    _EXTENSION.format(name)
    for name in (
        "projection/v2.0.0", "raster/v2.0.0", "classification/v2.0.0", "processing/v1.2.0",
        "file/v2.1.0", "version/v1.2.0",
    )
)  # fmt: skip
_EO_EXTENSION = _EXTENSION.format("eo/v1.1.0")
_PROCESSING_LEVEL = "L4"
"""Output of a model. Source: best practices of the MLM extension, processing extension."""
_VALID = (
    MaskClass.CLEAR, MaskClass.CLOUD_SHADOW, MaskClass.SEMI_TRANSPARENT_CLOUD, MaskClass.CLOUD,
)  # fmt: skip
_PICTURES = {
    "preview": ("Classes in their colours", ("overview", "visual")),
    "thumbnail": ("Thumbnail", ("thumbnail",)),
}
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"


@dataclass(frozen=True)
class MaskRecord:
    """All that the item says of a mask."""

    source: pystac.Item
    """The product's item."""
    source_href: str
    """Where the product is: a URL or a path."""
    model: ModelSpec
    epsg: int
    transform: Affine
    """Of the result's pixels."""
    shape_yx: tuple[int, int]
    """Rows and columns of the result."""
    resolution_m: int
    class_counts: Mapping[MaskClass, int]
    """10 m pixels inside the area, before dilation."""
    dilation_m: float
    area: BaseGeometry | None
    """The area of interest in WGS 84, `None` for the whole product."""
    software: Mapping[str, str]
    """Version by name."""
    created: datetime
    files: Mapping[str, Path] = field(default_factory=dict)
    """Asset key (`mask`, `probabilities`, `preview`, `thumbnail`) to file."""
    device: str | None = None
    """What the model ran on, such as `cpu`."""
    facility: str | None = None
    """Who ran it."""


def cloud_cover_percent(counts: Mapping[MaskClass, int]) -> float | None:
    """Semi-transparent and opaque cloud over valid pixels, percent; `None` if none is valid."""
    valid = sum(counts[mask_class] for mask_class in _VALID)
    clouds = counts[MaskClass.SEMI_TRANSPARENT_CLOUD] + counts[MaskClass.CLOUD]
    return None if valid == 0 else round(100 * clouds / valid, 4)


def plain_mask_id(product: str, model: ModelSpec) -> str:
    """Id of a whole product's mask: full name of the product, the model with its profile and
    tiling if not its own, and the model's version, so that versions stand side by side.
    """
    version = re.sub(r"[^A-Za-z0-9.-]+", "-", model.version)
    return f"{product}_{model.run_name}_v{version}"


def mask_item_id(record: MaskRecord) -> str:
    """`plain_mask_id` and what makes the mask another one than that of the whole product: its
    pixels' size if not 10 m, the dilation, a short hash of the area. The same for the same request.
    """
    name = plain_mask_id(product_name(record.source), record.model)
    if record.resolution_m != NATIVE_RESOLUTION_M:
        name += f"_{record.resolution_m}m"
    if record.dilation_m:
        name += f"_dilated-{record.dilation_m:g}m"
    if record.area is None:
        return name
    corner = (record.transform.c, record.transform.f, *record.shape_yx, record.resolution_m)
    text = f"{corner} {shapely.to_wkt(record.area, rounding_precision=7)}"
    return f"{name}_aoi-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def build_mask_item(record: MaskRecord, folder: Path) -> pystac.Item:
    """The item of a mask whose files lie in `folder`, STAC 1.1.0.

    Asset hrefs are relative to the item. `eo:cloud_cover` is that of the mask; the product's own
    figure is kept in `kappamask:product_cloud_cover`. Percentages are before dilation.
    """
    source_area = None if record.source.geometry is None else shape(record.source.geometry)
    has_gaps = record.class_counts[MaskClass.MISSING] > 0 and "mask" in record.files
    geometry = common_area(
        outline(record.epsg, record.transform, record.shape_yx),
        source_area,
        record.area,
        valid_area(record.files["mask"]) if has_gaps else None,
    )
    properties = _properties(record)
    item = pystac.Item(
        id=mask_item_id(record),
        geometry=as_geojson(geometry),
        bbox=as_bbox(geometry),
        datetime=record.source.datetime,
        properties=properties,
        stac_extensions=_extensions(properties),
    )
    if item.datetime is None:
        item.properties.update(
            {name: record.source.properties[name] for name in ("start_datetime", "end_datetime")}
        )
    for key, path in record.files.items():
        item.add_asset(key, _asset(key, path, record))
    item.add_link(_source_link(record, folder))
    item.add_link(_model_link(record.model))
    for link in record.model.item.get("links", ()):
        if link.get("rel") == "cite-as":
            item.add_link(pystac.Link("cite-as", link["href"], title=link.get("title")))
    return item


def _properties(record: MaskRecord) -> dict[str, Any]:
    source, model = record.source.properties, record.model
    name = product_name(record.source)
    rows, cols = record.shape_yx
    native = record.transform
    properties: dict[str, Any] = {
        **carried_properties(record.source),
        "title": f"Cloud mask of {name}",
        "description": _description(record),
        "created": datetime_to_str(record.created),
        "gsd": record.resolution_m,
        "proj:code": f"EPSG:{record.epsg}",
        "proj:shape": [rows, cols],
        "proj:transform": [native.a, native.b, native.c, native.d, native.e, native.f, 0, 0, 1],
        "proj:bbox": [
            native.c, native.f + native.e * rows, native.c + native.a * cols, native.f,
        ],
        "version": str(product_version(source, name)),
        "processing:level": _PROCESSING_LEVEL,
        "processing:datetime": datetime_to_str(record.created),
        "processing:version": model.version,
        "processing:software": dict(record.software),
        "processing:lineage": _lineage(record),
        "kappamask:model": model.name,
        "kappamask:model_version": model.version,
        "kappamask:level": model.level,
        "kappamask:product": name,
        "kappamask:acquisition": acquisition_key(source, name, _source_time(record.source)),
        "kappamask:dilation": record.dilation_m,
        "kappamask:not_predicted": [one.stac_name for one in model.not_predicted],
        "kappamask:class_percentages": class_percentages(record.class_counts),
        "kappamask:missing_percentage": missing_percentage(record.class_counts),
        "kappamask:class_areas": class_areas_km2(record.class_counts),
    }  # fmt: skip
    optional = {
        "processing:facility": record.facility,
        "kappamask:device": record.device,
        "kappamask:profile": model.profile,
        "kappamask:tiling": model.tiling_name,
    }
    properties |= {name: value for name, value in optional.items() if value is not None}
    cloud_cover = cloud_cover_percent(record.class_counts)
    if cloud_cover is not None:
        properties["eo:cloud_cover"] = cloud_cover
    if source.get("eo:cloud_cover") is not None:
        properties["kappamask:product_cloud_cover"] = source["eo:cloud_cover"]
    return properties


def class_percentages(counts: Mapping[MaskClass, int]) -> dict[str, float]:
    """Share of each class of the surface and the sky in the valid pixels, percent."""
    total = sum(counts[one] for one in _VALID)
    return {one.stac_name: round(100 * counts[one] / total, 4) if total else 0.0 for one in _VALID}


def missing_percentage(counts: Mapping[MaskClass, int]) -> float:
    """Share of missing pixels in those inside the area, percent; 0 where there is none."""
    inside = sum(count for one, count in counts.items() if one is not MaskClass.UNDEFINED)
    return round(100 * counts[MaskClass.MISSING] / inside, 4) if inside else 0.0


def _source_time(source: pystac.Item) -> datetime:
    """When the product was acquired; of a range, the beginning."""
    if source.datetime is not None:
        return source.datetime
    return datetime.fromisoformat(str(source.properties["start_datetime"]))


def class_areas_km2(counts: Mapping[MaskClass, int]) -> dict[str, float]:
    """Area of each class, square kilometres; undefined pixels do not count."""
    pixel_km2 = NATIVE_RESOLUTION_M**2 / 1e6
    return {
        mask_class.stac_name: round(count * pixel_km2, 4)
        for mask_class, count in counts.items()
        if mask_class is not MaskClass.UNDEFINED
    }


def _description(record: MaskRecord) -> str:
    text = (
        f"Classes of every pixel by {record.model.title}. Percentages are before dilation; "
        "eo:cloud_cover is cloud and semi-transparent cloud over valid pixels."
    )
    if record.model.not_predicted:
        names = ", ".join(one.style.title for one in record.model.not_predicted)
        text += f" The model does not predict: {names}."
    if record.dilation_m:
        text += f" Shadow and clouds in the raster are grown by {record.dilation_m:g} m."
    return text


def _lineage(record: MaskRecord) -> str:
    steps = [
        f"Level-{record.model.level[1:]} digital numbers of {', '.join(record.model.bands)}",
        f"brought to {record.model.resolution_m} m",
        f"classified in tiles by {record.model.name} {record.model.version}{_way(record.model)}",
        f"brought to {NATIVE_RESOLUTION_M} m",
    ]
    if record.dilation_m:
        steps.append(f"shadow and clouds dilated by {record.dilation_m:g} m")
    if record.resolution_m != NATIVE_RESOLUTION_M:
        steps.append(f"reduced to {record.resolution_m} m by mode")
    return "; ".join(steps)


def _way(model: ModelSpec) -> str:
    names = {"profile": model.profile, "tiling": model.tiling_name}
    given = ", ".join(f"{kind} {name}" for kind, name in names.items() if name)
    return f" ({given})" if given else ""


def _extensions(properties: Mapping[str, Any]) -> list[str]:
    carried = [_EXTENSION.format(name) for name in carried_extensions(properties)]
    return [*_EXTENSIONS, *([_EO_EXTENSION] if "eo:cloud_cover" in properties else []), *carried]


def _asset(key: str, path: Path, record: MaskRecord) -> pystac.Asset:
    fields: dict[str, Any] = {
        "file:size": path.stat().st_size,
        "file:checksum": MULTIHASH_SHA256 + _sha256(path),
    }
    if key in _PICTURES:
        picture, shown_as = _PICTURES[key]
        return pystac.Asset(
            f"./{path.name}", picture, media_type="image/png", roles=list(shown_as),
            extra_fields=fields,
        )  # fmt: skip
    fields |= {
        "raster:sampling": "area",
        "raster:spatial_resolution": record.resolution_m,
        "processing:expression": {"format": "stac-mlm", "expression": f"./{MODEL_ITEM_FILE}"},
    }
    if key == "mask":
        fields |= {
            "data_type": "uint8",
            "nodata": int(MaskClass.UNDEFINED),
            "classification:classes": build_classification_classes(),
            "bands": [{"name": "mask", "description": "Class of the pixel"}],
        }
        title = "Classes"
        roles = ["data", "cloud", "cloud-shadow"]
    else:
        fields |= {
            "data_type": "float32",
            "bands": [
                {"name": one.stac_name, "description": f"Probability 0-1: {one.style.title}"}
                for one in MaskClass
            ],
        }
        title = "Probability per class"
        roles = ["data", "probability"]
    return pystac.Asset(f"./{path.name}", title, media_type=_COG, roles=roles, extra_fields=fields)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _source_link(record: MaskRecord, folder: Path) -> pystac.Link:
    """To the product: its URL, or a path relative to the item, so that both can move together."""
    href = record.source_href
    if "://" not in href:
        try:
            href = Path(os.path.relpath(href, folder)).as_posix()
        except ValueError:  # another drive on Windows
            href = Path(href).absolute().as_uri()
    is_item = href.endswith(".json") or record.source_href.startswith("http")
    media_type = "application/geo+json" if is_item else None
    return pystac.Link("derived_from", href, media_type, product_name(record.source))


def _model_link(model: ModelSpec) -> pystac.Link:
    return pystac.Link(
        "mlm:model", f"./{MODEL_ITEM_FILE}", "application/geo+json", model.title,
        extra_fields={"mlm:name": model.name},
    )  # fmt: skip
