"""A mask on disk: rasters, pictures, item and the model's description, visible all at once."""

import json
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import numpy as np
import pystac
import shapely
from numpy.typing import NDArray

from kappamask_catalog.masking import ClassCounts, MaskJob
from kappamask_catalog.publish.cog import (
    CogWriter,
    build_mask_profile,
    build_probability_profile,
)
from kappamask_catalog.publish.item import (
    MODEL_ITEM_FILE,
    MaskRecord,
    build_mask_item,
    class_percentages,
    cloud_cover_percent,
    plain_mask_id,
)
from kappamask_catalog.publish.previews import PREVIEW_PX, THUMBNAIL_PX, write_preview
from kappamask_catalog.publish.result import ResultFolder
from kappamask_catalog.sources.naming import product_name
from kappamask_udf.classes import MaskClass
from kappamask_udf.engine import Progress
from kappamask_udf.session import default_threads

MASK_FILE = "mask.tif"
PROBABILITIES_FILE = "probabilities.tif"
PREVIEW_FILE = "preview.png"
THUMBNAIL_FILE = "thumbnail.png"
_SOFTWARE = ("openeo-kappamask", "onnxruntime", "onnxruntime-gpu", "rasterio")


@dataclass(frozen=True)
class MaskResult:
    """A finished mask."""

    item: pystac.Item
    folder: Path
    files: tuple[Path, ...]
    class_counts: Mapping[MaskClass, int]
    """10 m pixels inside the area, before dilation."""
    not_predicted: tuple[MaskClass, ...]
    model: str
    device: str
    seconds: float

    @property
    def cloud_cover(self) -> float | None:
        """Percent of the valid pixels."""
        return cloud_cover_percent(self.class_counts)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "id": self.item.id,
            "folder": str(self.folder),
            "files": [str(path) for path in self.files],
            "model": self.model,
            "device": self.device,
            "seconds": round(self.seconds, 2),
            "cloud_cover": self.cloud_cover,
            "class_percentages": class_percentages(self.class_counts),
            "class_pixels": {one.stac_name: count for one, count in self.class_counts.items()},
            "not_predicted": [one.stac_name for one in self.not_predicted],
        }


class MaskWriter:
    """The rasters of a mask, written strip by strip into a folder."""

    def __init__(self, job: MaskJob, folder: Path):
        self._stack = ExitStack()
        self._folder = folder
        self._threads = job.options.threads or default_threads()
        grid = (job.shape_yx, job.transform, job.product.epsg)
        tags = {"TIFFTAG_SOFTWARE": f"openeo-kappamask {metadata.version('openeo-kappamask')}"}
        self._profiles = {MASK_FILE: build_mask_profile(*grid, tags)}
        if job.options.with_probabilities:
            self._profiles[PROBABILITIES_FILE] = build_probability_profile(*grid, tags)
        self._writers: dict[str, CogWriter] = {}

    def __enter__(self) -> Self:
        with self._stack:
            for name, profile in self._profiles.items():
                writer = CogWriter(self._folder / name, profile, self._threads)
                self._writers[name] = self._stack.enter_context(writer)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def write(
        self, row0: int, classes: NDArray[np.uint8], planes: NDArray[np.float32] | None
    ) -> None:
        """Write some rows: (rows, cols) class ids and (6, rows, cols) probabilities, if wanted."""
        self._writers[MASK_FILE].write(row0, classes)
        if planes is not None:
            self._writers[PROBABILITIES_FILE].write(row0, planes)

    def finish(self) -> None:
        """Turn what was written into COGs."""
        for writer in self._writers.values():
            writer.finish()


def write_mask(
    job: MaskJob, output: Path | None = None, progress: Progress | None = None
) -> MaskResult:
    """Make a mask and put it into a folder of its own, which is complete or not there.

    Args:
        job: what to make.
        output: the folder; by default in the working folder, named like the item of a whole
            product's mask.
        progress: called after every batch of tiles.

    Raises:
        OutputExistsError: there is a result and overwriting was not asked for.
        OutputError: it cannot be written.
        CorruptDataError, ModelError: see `kappamask_udf.engine.predict`.
    """
    start = perf_counter()
    spec, product = job.session.spec, job.product
    target = output or Path(plain_mask_id(product_name(product.item), spec))
    counts = ClassCounts()
    with ResultFolder(target, overwrite=job.options.overwrite) as folder:
        with (
            MaskWriter(job, folder.path) as writer,
            closing(job.strips(counts, progress)) as strips,
        ):
            for strip in strips:
                writer.write(strip.row0, strip.classes, strip.probabilities)
            writer.finish()
        write_preview(folder.path / MASK_FILE, folder.path / PREVIEW_FILE, PREVIEW_PX)
        write_preview(folder.path / MASK_FILE, folder.path / THUMBNAIL_FILE, THUMBNAIL_PX)
        item = _write_documents(job, counts, folder.path, target)
        folder.commit()
    names = sorted(path.name for path in target.iterdir())
    return MaskResult(
        item=item,
        folder=target,
        files=tuple(target / name for name in names),
        class_counts=counts.as_mapping(),
        not_predicted=spec.not_predicted,
        model=spec.name,
        device=job.session.device,
        seconds=perf_counter() - start,
    )


def _write_documents(job: MaskJob, counts: ClassCounts, folder: Path, target: Path) -> pystac.Item:
    """Write the item and the model's description; links are seen from the final folder."""
    assets = {
        "mask": MASK_FILE,
        "probabilities": PROBABILITIES_FILE,
        "preview": PREVIEW_FILE,
        "thumbnail": THUMBNAIL_FILE,
    }
    aoi = job.options.aoi
    record = MaskRecord(
        source=job.product.item,
        source_href=job.product.location,
        model=job.session.spec,
        epsg=job.product.epsg,
        transform=job.transform,
        shape_yx=job.shape_yx,
        resolution_m=job.options.resolution_m,
        class_counts=counts.as_mapping(),
        dilation_m=job.options.dilation_m,
        area=None if aoi is None else shapely.union_all(aoi.polygons),
        software=_software_versions(),
        created=datetime.now(UTC),
        device=job.session.device,
        files={key: folder / name for key, name in assets.items() if (folder / name).exists()},
    )
    item = build_mask_item(record, target)
    _write_json(folder / MODEL_ITEM_FILE, job.session.spec.item)
    _write_json(folder / f"{item.id}.json", item.to_dict(include_self_link=False))
    return item


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _software_versions() -> dict[str, str]:
    versions = {}
    for name in _SOFTWARE:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
