"""Names and places of the files of a SAFE product."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from kappamask_catalog.scene.demo import DemoScene
from kappamask_catalog.scene.geometry import MGRS_TILE, RELATIVE_ORBIT
from kappamask_udf.bands import MSI_BANDS
from kappamask_udf.errors import ProductError
from kappamask_udf.pixels import Calibration, Level

CENTRE = "SIM_"
"""Processing centre in the identifiers, four characters: no ESA centre, the scene is simulated."""
OFFSET_DN = 1000
"""Added to DN from processing baseline 04.00 on. Source: ESA, baseline 04.00 notice."""
QUANTIFICATION = 10000
LAYER_QUANTIFICATION = 1000
"""AOT and WVP of Level-2A."""

# Layers of Level-2A by resolution, in the order of ESA's own listing; B10 is left out for it
# sees no ground, B08 exists at 10 m only.
_L2A_LAYERS: dict[int, tuple[str, ...]] = {
    10: ("B02", "B03", "B04", "B08", "TCI", "AOT", "WVP"),
    20: (
        "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12",
        "TCI", "AOT", "WVP", "SCL",
    ),
    60: (
        "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B09", "B11", "B12",
        "TCI", "AOT", "WVP", "SCL",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """One image file of a product."""

    name: str
    """`B01` to `B12`, `TCI`, `AOT`, `WVP` or `SCL`."""
    resolution_m: int


@dataclass(frozen=True)
class ProductLayout:
    """Everything that a product's names depend on."""

    scene: DemoScene
    level: Level
    baseline: str
    bands: tuple[str, ...]
    """Spectral bands that are written."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d\d\.\d\d", self.baseline):
            raise ProductError(
                f"a processing baseline looks like 05.11, got {self.baseline!r}: write it so"
            )
        if self.level not in ("L1C", "L2A"):
            raise ProductError(f"the level must be L1C or L2A, got {self.level!r}")
        known = {info.name for info in MSI_BANDS}
        if unknown := [band for band in self.bands if band not in known]:
            choices = ", ".join(sorted(known))
            raise ProductError(f"unknown band {unknown[0]!r}: choose from {choices}")

    @property
    def has_offset(self) -> bool:
        """Whether DN carry an offset and masks are rasters: baseline 04.00 or later."""
        return self.baseline >= "04.00"

    @property
    def calibration(self) -> Calibration:
        """How reflectance is stored."""
        return Calibration(QUANTIFICATION, -OFFSET_DN if self.has_offset else 0)

    @property
    def generation_time(self) -> datetime:
        """When the product would have been made; Level-2A comes after Level-1C."""
        later = timedelta(hours=2, minutes=48) if self.level == "L2A" else timedelta()
        return self.scene.acquisition.generation_time + later

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Image files, in the order of the metadata."""
        if self.level == "L1C":
            spectral = [
                Layer(info.name, info.resolution_m) for info in MSI_BANDS if info.name in self.bands
            ]
            return (*spectral, *([Layer("TCI", 10)] if self.has_colour else []))
        return tuple(
            Layer(name, resolution)
            for resolution, names in _L2A_LAYERS.items()
            for name in names
            if self._is_written(name, resolution)
        )

    def _is_written(self, name: str, resolution_m: int) -> bool:
        if name == "B01" and resolution_m == 20 and not self.has_offset:
            return False  # B01 came to the 20 m folder with baseline 04.00
        if name == "TCI":
            return self.has_colour
        return not name.startswith("B") or name in self.bands

    @property
    def has_colour(self) -> bool:
        """Whether the three bands of the colour image are there."""
        return {"B02", "B03", "B04"} <= set(self.bands)

    @property
    def product_name(self) -> str:
        """Name of the folder, with `.SAFE`."""
        acquisition = self.scene.acquisition
        return (
            f"{acquisition.spacecraft}_MSI{self.level}_{stamp(acquisition.datatake_start)}"
            f"_N{self.baseline.replace('.', '')}_R{RELATIVE_ORBIT:03d}_T{MGRS_TILE}"
            f"_{stamp(self.generation_time)}.SAFE"
        )

    @property
    def datatake_id(self) -> str:
        """Identifier of the datatake."""
        acquisition = self.scene.acquisition
        return (
            f"G{acquisition.spacecraft}_{stamp(acquisition.datatake_start)}"
            f"_{acquisition.absolute_orbit:06d}_N{self.baseline}"
        )

    @property
    def granule_id(self) -> str:
        """Identifier of the tile."""
        acquisition = self.scene.acquisition
        return (
            f"{acquisition.spacecraft}_OPER_MSI_{self.level}_TL_{CENTRE}_"
            f"{stamp(self.generation_time)}_A{acquisition.absolute_orbit:06d}"
            f"_T{MGRS_TILE}_N{self.baseline}"
        )

    @property
    def datastrip_id(self) -> str:
        """Identifier of the datastrip."""
        acquisition = self.scene.acquisition
        return (
            f"{acquisition.spacecraft}_OPER_MSI_{self.level}_DS_{CENTRE}_"
            f"{stamp(self.generation_time)}_S{stamp(acquisition.datastrip_start)}_N{self.baseline}"
        )

    @property
    def granule_folder(self) -> str:
        """Relative folder of the granule."""
        acquisition = self.scene.acquisition
        return (
            f"GRANULE/{self.level}_T{MGRS_TILE}_A{acquisition.absolute_orbit:06d}"
            f"_{stamp(acquisition.datastrip_start)}"
        )

    @property
    def datastrip_folder(self) -> str:
        """Relative folder of the datastrip."""
        start = stamp(self.scene.acquisition.datastrip_start)
        return f"DATASTRIP/DS_{CENTRE}_{stamp(self.generation_time)}_S{start}"

    @property
    def product_metadata(self) -> str:
        """Relative path of the product's metadata file."""
        return f"MTD_MSI{self.level}.xml"

    def image_stem(self, layer: Layer) -> str:
        """Relative path of an image, without suffix, as the metadata lists it."""
        start = stamp(self.scene.acquisition.datatake_start)
        stem = f"T{MGRS_TILE}_{start}_{layer.name}"
        if self.level == "L1C":
            return f"{self.granule_folder}/IMG_DATA/{stem}"
        folder = f"{self.granule_folder}/IMG_DATA/R{layer.resolution_m}m"
        return f"{folder}/{stem}_{layer.resolution_m}m"

    def mask_path(self, kind: str, band: str) -> str:
        """Relative path of a mask, `MSK_DETFOO` and `B02` say; `B00` stands for all bands."""
        suffix = "jp2" if self.has_offset else "gml"
        return f"{self.granule_folder}/QI_DATA/{kind}_{band}.{suffix}"

    def masks(self) -> Iterable[tuple[str, str]]:
        """Kinds and bands of the masks that the product has."""
        if self.has_offset:
            yield from ((kind, band) for band in self.bands for kind in RASTER_MASKS)
            yield "MSK_CLASSI", "B00"
        else:
            yield from ((kind, band) for band in self.bands for kind in VECTOR_MASKS)


RASTER_MASKS = ("MSK_DETFOO", "MSK_QUALIT")
"""Masks per band from baseline 04.00 on."""
VECTOR_MASKS = ("MSK_DEFECT", "MSK_DETFOO", "MSK_NODATA", "MSK_SATURA", "MSK_TECQUA")
"""Masks per band before."""


def stamp(moment: datetime) -> str:
    """A time as in names: `20260601T155901`."""
    return f"{moment:%Y%m%dT%H%M%S}"


def iso_stamp(moment: datetime) -> str:
    """A time as in metadata: milliseconds and `Z`."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
