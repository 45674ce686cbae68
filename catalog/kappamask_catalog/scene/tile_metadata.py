"""`MTD_TL.xml`: grid, angles and quality of the granule."""

from collections.abc import Iterable

import numpy as np

from kappamask_catalog.scene.contents import SceneContents
from kappamask_catalog.scene.footprint import detector_outlines, to_lat_lon
from kappamask_catalog.scene.geometry import EPSG, UTM_ZONE, VIEW, sun_direction
from kappamask_catalog.scene.instrument import BAND_IDS
from kappamask_catalog.scene.layout import CENTRE, ProductLayout, iso_stamp
from kappamask_catalog.scene.xmltree import Node, node, psd_root

_ANGLE_STEP_M = 5000

# Figures of Level-2A by scene class, in the order of the metadata.
_SCL_FIGURES = (
    ("DARK_FEATURES_PERCENTAGE", 2),
    ("CLOUD_SHADOW_PERCENTAGE", 3),
    ("VEGETATION_PERCENTAGE", 4),
    ("NOT_VEGETATED_PERCENTAGE", 5),
    ("WATER_PERCENTAGE", 6),
    ("UNCLASSIFIED_PERCENTAGE", 7),
    ("MEDIUM_PROBA_CLOUDS_PERCENTAGE", 8),
    ("HIGH_PROBA_CLOUDS_PERCENTAGE", 9),
    ("THIN_CIRRUS_PERCENTAGE", 10),
)


def build_tile_metadata(layout: ProductLayout, contents: SceneContents) -> Node:
    """The document of a granule whose pixels have been counted."""
    digits = layout.level[1:]
    return psd_root(
        f"S2_PDI_Level-{digits}_Tile_Metadata.xsd",
        f"Level-{digits}_Tile_ID",
        _general_info(layout),
        node("Geometric_Info", _geocoding(layout), _angles(layout), metadataLevel="Standard"),
        _quality(layout, contents),
    )


def _general_info(layout: ProductLayout) -> Node:
    return node(
        "General_Info",
        node("TILE_ID", layout.granule_id, metadataLevel="Brief"),
        node("DATASTRIP_ID", layout.datastrip_id, metadataLevel="Standard"),
        node("DOWNLINK_PRIORITY", "NOMINAL", metadataLevel="Standard"),
        node(
            "SENSING_TIME",
            iso_stamp(layout.scene.acquisition.sensing_time),
            metadataLevel="Standard",
        ),
        node(
            "Archiving_Info",
            node("ARCHIVING_CENTRE", CENTRE),
            node("ARCHIVING_TIME", iso_stamp(layout.generation_time)),
            metadataLevel="Expertise",
        ),
    )


def _geocoding(layout: ProductLayout) -> Node:
    x, y = layout.scene.corner_xy
    sizes, positions = [], []
    for resolution in (10, 20, 60):
        rows, cols = layout.scene.band_shape_yx(resolution)
        sizes.append(node("Size", node("NROWS", rows), node("NCOLS", cols), resolution=resolution))
        positions.append(
            node(
                "Geoposition",
                node("ULX", x),
                node("ULY", y),
                node("XDIM", resolution),
                node("YDIM", -resolution),
                resolution=resolution,
            )
        )
    return node(
        "Tile_Geocoding",
        node("HORIZONTAL_CS_NAME", f"WGS84 / UTM zone {UTM_ZONE}"),
        node("HORIZONTAL_CS_CODE", f"EPSG:{EPSG}"),
        *sizes,
        *positions,
        metadataLevel="Brief",
    )


def _angles(layout: ProductLayout) -> Node:
    sun = layout.scene.acquisition.sun
    rows, cols = (-(-side * 10 // _ANGLE_STEP_M) + 1 for side in layout.scene.shape_yx)
    view_grids = [
        node(
            "Viewing_Incidence_Angles_Grids",
            _grid("Zenith", [[VIEW.zenith_deg] * cols] * rows),
            _grid("Azimuth", [[VIEW.azimuth_deg] * cols] * rows),
            bandId=number,
            detectorId=detector,
        )
        for number in BAND_IDS.values()
        for detector in detector_outlines(layout.scene)
    ]
    return node(
        "Tile_Angles",
        _sun_grids(layout, rows, cols),
        node("Mean_Sun_Angle", *_direction(sun.zenith_deg, sun.azimuth_deg)),
        *view_grids,
        node(
            "Mean_Viewing_Incidence_Angle_List",
            *(
                node(
                    "Mean_Viewing_Incidence_Angle",
                    *_direction(VIEW.zenith_deg, VIEW.azimuth_deg),
                    bandId=number,
                )
                for number in BAND_IDS.values()
            ),
        ),
        metadataLevel="Standard",
    )


def _direction(zenith_deg: float, azimuth_deg: float) -> tuple[Node, Node]:
    return (
        node("ZENITH_ANGLE", zenith_deg, unit="deg"),
        node("AZIMUTH_ANGLE", azimuth_deg, unit="deg"),
    )


def _sun_grids(layout: ProductLayout, rows: int, cols: int) -> Node:
    """The sun at every 5 km; the shadows use the one mean angle."""
    x, y = layout.scene.corner_xy
    moment = layout.scene.acquisition.sensing_time
    xs, ys = np.meshgrid(
        x + _ANGLE_STEP_M * np.arange(cols, dtype=float),
        y - _ANGLE_STEP_M * np.arange(rows, dtype=float),
    )
    latitudes, longitudes = to_lat_lon(xs, ys)
    suns = [
        [sun_direction(moment, lat, lon) for lat, lon in zip(lat_row, lon_row, strict=True)]
        for lat_row, lon_row in zip(latitudes.tolist(), longitudes.tolist(), strict=True)
    ]
    return node(
        "Sun_Angles_Grid",
        _grid("Zenith", [[sun.zenith_deg for sun in row] for row in suns]),
        _grid("Azimuth", [[sun.azimuth_deg for sun in row] for row in suns]),
    )


def _grid(name: str, rows: Iterable[Iterable[float]]) -> Node:
    return node(
        name,
        node("COL_STEP", _ANGLE_STEP_M, unit="m"),
        node("ROW_STEP", _ANGLE_STEP_M, unit="m"),
        node(
            "Values_List",
            *(node("VALUES", " ".join(f"{value:.6g}" for value in row)) for row in rows),
        ),
    )


def _quality(layout: ProductLayout, contents: SceneContents) -> Node:
    masks = []
    for kind, band in layout.masks():
        mask = node("MASK_FILENAME", layout.mask_path(kind, band), type=kind)
        if band in BAND_IDS:
            mask.set("bandId", str(BAND_IDS[band]))
        masks.append(mask)
    return node(
        "Quality_Indicators_Info",
        node("Image_Content_QI", *_image_content(layout, contents)),
        node("Pixel_Level_QI", *masks, geometry="FULL_RESOLUTION"),
        metadataLevel="Standard",
    )


def _image_content(layout: ProductLayout, contents: SceneContents) -> list[Node]:
    figures = [
        node("CLOUDY_PIXEL_PERCENTAGE", f"{contents.cloudy_percentage:.6f}"),
        node("DEGRADED_MSI_DATA_PERCENTAGE", 0),
    ]
    if layout.has_offset or layout.level == "L2A":
        figures.append(node("NODATA_PIXEL_PERCENTAGE", f"{contents.missing_percentage:.6f}"))
        figures.append(node("SATURATED_DEFECTIVE_PIXEL_PERCENTAGE", 0))
    if layout.level == "L2A":
        figures.extend(
            node(name, f"{contents.scl_percentage(index):.6f}") for name, index in _SCL_FIGURES
        )
    if layout.has_offset or layout.level == "L2A":
        figures.append(node("SNOW_ICE_PERCENTAGE", 0))
    return figures
