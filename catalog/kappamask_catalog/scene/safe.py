"""Writing a scene as a Sentinel-2 product: a SAFE folder, its zip, and the truth beside it."""

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import RasterioError

from kappamask_catalog.scene.contents import SceneContents
from kappamask_catalog.scene.demo import DemoScene, Strip
from kappamask_catalog.scene.gml_masks import build_gml_mask
from kappamask_catalog.scene.layout import Layer, ProductLayout
from kappamask_catalog.scene.manifest import (
    SIMULATED,
    build_datastrip_metadata,
    build_inspire,
    build_manifest,
)
from kappamask_catalog.scene.planes import StripPlanes
from kappamask_catalog.scene.product_metadata import build_product_metadata
from kappamask_catalog.scene.raster_masks import RasterMasks
from kappamask_catalog.scene.rasters import GDAL_OPTIONS, StripFile, georeference
from kappamask_catalog.scene.tile_metadata import build_tile_metadata
from kappamask_catalog.scene.xmltree import write_xml
from kappamask_udf.bands import MSI_BANDS
from kappamask_udf.classes import CLASS_STYLES, MaskClass
from kappamask_udf.errors import OutputError, OutputExistsError
from kappamask_udf.pixels import Level

Progress = Callable[[str, float], None]
"""Called with what is being done and how much of all is done, 0 to 1."""

ALL_BANDS: tuple[str, ...] = tuple(info.name for info in MSI_BANDS)
# Share of the time that goes into computing strips; the rest is encoding, about 1.
_STRIPS_SHARE = 0.4


@dataclass(frozen=True)
class ProductPaths:
    """What `write_product` wrote."""

    safe: Path
    """The SAFE folder."""
    truth: Path
    """GeoTIFF of the true classes at 10 m, uint8."""


def write_product(
    scene: DemoScene,
    folder: Path,
    *,
    baseline: str = "05.11",
    level: Level = "L1C",
    bands: Sequence[str] = ALL_BANDS,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ProductPaths:
    """Write a scene as a product, and its truth beside it.

    Nothing is visible under its own name before it is complete.

    Args:
        scene: what to write.
        folder: where; made if it is not there.
        baseline: processing baseline. From `04.00` on DN carry the offset of 1000 and masks are
            rasters, before neither.
        level: `L1C`, or `L2A` with a plain atmospheric correction.
        bands: spectral bands to write, all by default.
        overwrite: whether to replace a product or truth of the same name.
        progress: see `Progress`.

    Raises:
        OutputExistsError: it is there and `overwrite` is off.
        OutputError: it cannot be written.
        ProductError: baseline, level or bands make no sense.
    """
    chosen = tuple(info.name for info in MSI_BANDS if info.name in bands)
    unknown = tuple(band for band in bands if band not in ALL_BANDS)
    layout = ProductLayout(scene, level, baseline, chosen + unknown)
    paths = ProductPaths(
        folder / layout.product_name,
        folder / f"{layout.product_name.removesuffix('.SAFE')}_truth.tif",
    )
    _check_free(overwrite, paths.safe, paths.truth)
    with _staging(folder) as staging, rasterio.Env(**GDAL_OPTIONS):
        truth, safe = staging / paths.truth.name, staging / paths.safe.name
        with _TruthFile(scene, truth) as truth_file:
            _write_safe(layout, safe, truth_file, progress or _silent)
        _replace(truth, paths.truth)
        _replace(safe, paths.safe)
    return paths


def write_truth(scene: DemoScene, path: Path, *, overwrite: bool = False) -> Path:
    """Write the true classes alone, uint8 at 10 m, as a GeoTIFF with a colour table.

    Raises:
        OutputExistsError: it is there and `overwrite` is off.
        OutputError: it cannot be written.
    """
    _check_free(overwrite, path)
    with _staging(path.parent) as staging, rasterio.Env(**GDAL_OPTIONS):
        with _TruthFile(scene, staging / path.name) as truth_file:
            for strip in scene.strips(bands=()):
                truth_file.write(strip)
        _replace(staging / path.name, path)
    return path


def write_safe_zip(safe: Path, target: Path | None = None, *, overwrite: bool = False) -> Path:
    """Zip a SAFE folder, which becomes the only entry at the top, as in ESA's archives.

    Args:
        safe: a folder that ends in `.SAFE`.
        target: the archive; by default the folder's path with `.zip` appended.
        overwrite: whether to replace an archive.

    Raises:
        OutputExistsError: it is there and `overwrite` is off.
        OutputError: it cannot be written.
    """
    target = target or safe.with_name(f"{safe.name}.zip")
    _check_free(overwrite, target)
    with _staging(target.parent) as staging:
        draft = staging / target.name
        # JPEG 2000 does not shrink any further, so files are stored
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(safe.rglob("*")):
                archive.write(path, Path(safe.name) / path.relative_to(safe))
        _replace(draft, target)
    return target


def _write_safe(
    layout: ProductLayout, safe: Path, truth_file: "_TruthFile", progress: Progress
) -> None:
    contents = SceneContents()
    images = {layer: _image_file(layout, safe, layer) for layer in layout.layers}
    masks = RasterMasks(layout, safe) if layout.has_offset else None
    try:
        for strip in layout.scene.strips(bands=_computed_bands(layout)):
            contents.add_truth(truth_file.write(strip))
            _write_strip(layout, strip, images, contents)
            if masks is not None:
                masks.write(strip)
            done = min(1.0, strip.window.row1 / layout.scene.shape_yx[0])
            progress("computing pixels", _STRIPS_SHARE * done)
        for number, (layer, image) in enumerate(images.items()):
            share = _STRIPS_SHARE + (1 - _STRIPS_SHARE) * number / len(images)
            progress(f"encoding {layer.name}", share)
            image.finish()
        if masks is not None:
            progress("encoding masks", 1 - 1 / (2 * len(images) + 2))
            masks.finish()
    finally:
        for image in images.values():
            image.close()
        if masks is not None:
            masks.close()
    _write_documents(layout, safe, contents)
    progress("done", 1.0)


def _write_strip(
    layout: ProductLayout,
    strip: Strip,
    images: dict[Layer, StripFile],
    contents: SceneContents,
) -> None:
    planes = StripPlanes(layout, strip)
    for layer, image in images.items():
        plane = planes.plane(layer)
        image.write(strip.window.row0 * 10 // layer.resolution_m, plane)
        if layer == Layer("SCL", 20):
            rows, cols = image.shape_yx
            row = strip.window.row0 // 2
            contents.add_scl(plane[: rows - row, :cols].astype("uint8", copy=False))


def _write_documents(layout: ProductLayout, safe: Path, contents: SceneContents) -> None:
    """All metadata; the manifest last, for it lists the rest."""
    write_xml(build_product_metadata(layout, contents), safe / layout.product_metadata)
    write_xml(build_tile_metadata(layout, contents), safe / layout.granule_folder / "MTD_TL.xml")
    write_xml(build_datastrip_metadata(layout), safe / layout.datastrip_folder / "MTD_DS.xml")
    write_xml(build_inspire(layout), safe / "INSPIRE.xml")
    if not layout.has_offset:
        for kind, band in layout.masks():
            write_xml(build_gml_mask(layout, kind, band), safe / layout.mask_path(kind, band))
    write_xml(build_manifest(layout, safe), safe / "manifest.safe")


def _image_file(layout: ProductLayout, safe: Path, layer: Layer) -> StripFile:
    path = safe / f"{layout.image_stem(layer)}.jp2"
    shape = layout.scene.band_shape_yx(layer.resolution_m)
    is_byte = layer.name in ("TCI", "SCL")
    return StripFile(
        path,
        layer.resolution_m,
        shape,
        layout.scene.corner_xy,
        "uint8" if is_byte else "uint16",
        3 if layer.name == "TCI" else 1,
    )


def _computed_bands(layout: ProductLayout) -> tuple[str, ...]:
    # Level-2A has no B10 but tells cirrus by it
    if layout.level == "L2A" and "B10" not in layout.bands:
        return (*layout.bands, "B10")
    return layout.bands


class _TruthFile:
    """The truth on its way to a GeoTIFF."""

    def __init__(self, scene: DemoScene, path: Path) -> None:
        self._shape_yx = scene.shape_yx
        self._dataset: Any = rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=scene.shape_yx[0],
            width=scene.shape_yx[1],
            count=1,
            dtype="uint8",
            compress="DEFLATE",
            **georeference(scene.corner_xy, 10),
        )
        self._dataset.write_colormap(
            1, {int(mask_class): style.rgba for mask_class, style in CLASS_STYLES.items()}
        )
        self._dataset.update_tags(
            DESCRIPTION=SIMULATED,
            **{f"CLASS_{int(value)}": value.stac_name for value in MaskClass},
        )

    def __enter__(self) -> "_TruthFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._dataset.close()

    def write(self, strip: Strip) -> Any:
        """Add a strip; gives back its classes inside the scene."""
        rows, cols = self._shape_yx
        row = strip.window.row0
        classes = strip.truth[: rows - row, :cols]
        window = rasterio.windows.Window(0, row, cols, classes.shape[0])
        self._dataset.write(classes, 1, window=window)
        return classes


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder beside the results for what is not complete; failures become `OutputError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as staging:
            yield Path(staging)
    except (OSError, RasterioError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OutputError(
            f"cannot write to {folder}: {reason}; check free space and permissions"
        ) from error


def _check_free(overwrite: bool, *paths: Path) -> None:
    for path in paths:
        if path.exists() and not overwrite:
            raise OutputExistsError(
                f"{path} is there already; replace it with --overwrite or choose another folder"
            )


def _replace(source: Path, target: Path) -> None:
    """Move into place; a folder in the way is set aside first, for folders cannot be replaced."""
    if target.is_dir():
        aside = source.with_name(f"{source.name}.old")
        target.replace(aside)
        source.replace(target)
        shutil.rmtree(aside)
    else:
        source.replace(target)


def _silent(what: str, share: float) -> None:
    """Progress that nobody wants."""
