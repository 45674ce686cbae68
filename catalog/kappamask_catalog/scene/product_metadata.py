"""`MTD_MSIL1C.xml` and `MTD_MSIL2A.xml`: the product as a whole."""

from kappamask_catalog.scene.contents import SceneContents
from kappamask_catalog.scene.footprint import data_outline, lat_lon_ring
from kappamask_catalog.scene.geometry import RELATIVE_ORBIT
from kappamask_catalog.scene.instrument import CHANNELS
from kappamask_catalog.scene.layout import (
    LAYER_QUANTIFICATION,
    OFFSET_DN,
    QUANTIFICATION,
    ProductLayout,
    iso_stamp,
)
from kappamask_catalog.scene.xmltree import Node, node, psd_root
from kappamask_udf.bands import BANDS
from kappamask_udf.pixels import SATURATED_DN

SCENE_CLASSES = (
    "SC_NODATA", "SC_SATURATED_DEFECTIVE", "SC_DARK_FEATURE_SHADOW", "SC_CLOUD_SHADOW",
    "SC_VEGETATION", "SC_NOT_VEGETATED", "SC_WATER", "SC_UNCLASSIFIED", "SC_CLOUD_MEDIUM_PROBA",
    "SC_CLOUD_HIGH_PROBA", "SC_THIN_CIRRUS", "SC_SNOW_ICE",
)  # fmt: skip
"""Names of the Level-2A scene classes by index. Source: Level-2A product metadata."""


def build_product_metadata(layout: ProductLayout, contents: SceneContents) -> Node:
    """The document of a product whose pixels have been counted."""
    digits = layout.level[1:]
    return psd_root(
        f"User_Product_Level-{digits}.xsd",
        f"Level-{digits}_User_Product",
        node("General_Info", _product_info(layout), _image_characteristics(layout)),
        _geometric_info(layout),
        node("Auxiliary_Data_Info", node("GIPP_List")),
        _quality_info(contents),
    )


def _product_info(layout: ProductLayout) -> Node:
    digits = layout.level[1:]
    start = iso_stamp(layout.scene.acquisition.datatake_start)
    return node(
        "Product_Info",
        node("PRODUCT_START_TIME", start),
        node("PRODUCT_STOP_TIME", start),
        node("PRODUCT_URI", layout.product_name),
        node("PROCESSING_LEVEL", f"Level-{digits}"),
        node("PRODUCT_TYPE", f"S2MSI{digits}"),
        node("PROCESSING_BASELINE", layout.baseline),
        node("GENERATION_TIME", iso_stamp(layout.generation_time)),
        node("PREVIEW_IMAGE_URL", "Not applicable"),
        node("PREVIEW_GEO_INFO", "Not applicable"),
        _datatake(layout),
        node(
            "Query_Options",
            node("PRODUCT_FORMAT", "SAFE_COMPACT"),
            completeSingleTile="true",
        ),
        node("Product_Organisation", node("Granule_List", _granule(layout))),
    )


def _datatake(layout: ProductLayout) -> Node:
    acquisition = layout.scene.acquisition
    return node(
        "Datatake",
        node("SPACECRAFT_NAME", f"Sentinel-{acquisition.spacecraft[1:]}"),
        node("DATATAKE_TYPE", "INS-NOBS"),
        node("DATATAKE_SENSING_START", iso_stamp(acquisition.datatake_start)),
        node("SENSING_ORBIT_NUMBER", RELATIVE_ORBIT),
        node("SENSING_ORBIT_DIRECTION", "DESCENDING"),
        datatakeIdentifier=layout.datatake_id,
    )


def _granule(layout: ProductLayout) -> Node:
    return node(
        "Granule",
        *(node("IMAGE_FILE", layout.image_stem(layer)) for layer in layout.layers),
        datastripIdentifier=layout.datastrip_id,
        granuleIdentifier=layout.granule_id,
        imageFormat="JPEG2000",
    )


def _image_characteristics(layout: ProductLayout) -> Node:
    is_l2a = layout.level == "L2A"
    return node(
        "Product_Image_Characteristics",
        _special_value("NODATA", 0),
        _special_value("SATURATED", SATURATED_DN),
        node(
            "Image_Display_Order",
            node("RED_CHANNEL", 3),
            node("GREEN_CHANNEL", 2),
            node("BLUE_CHANNEL", 1),
        ),
        _quantification(is_l2a),
        *([_offsets(is_l2a)] if layout.has_offset else []),
        _reflectance_conversion(layout),
        node("Spectral_Information_List", *(_spectral(number) for number in range(len(CHANNELS)))),
        *(
            node("PHYSICAL_GAINS", channel.gain, bandId=number)
            for number, channel in enumerate(CHANNELS)
        ),
        node("REFERENCE_BAND", 3),
        *([_scene_classes()] if is_l2a else []),
    )


def _special_value(text: str, index: int) -> Node:
    return node(
        "Special_Values",
        node("SPECIAL_VALUE_TEXT", text),
        node("SPECIAL_VALUE_INDEX", index),
    )


def _quantification(is_l2a: bool) -> Node:
    if not is_l2a:
        return node("QUANTIFICATION_VALUE", QUANTIFICATION, unit="none")
    return node(
        "QUANTIFICATION_VALUES_LIST",
        node("BOA_QUANTIFICATION_VALUE", QUANTIFICATION, unit="none"),
        node("AOT_QUANTIFICATION_VALUE", f"{LAYER_QUANTIFICATION}.0", unit="none"),
        node("WVP_QUANTIFICATION_VALUE", f"{LAYER_QUANTIFICATION}.0", unit="cm"),
    )


def _offsets(is_l2a: bool) -> Node:
    parent, child = (
        ("BOA_ADD_OFFSET_VALUES_LIST", "BOA_ADD_OFFSET")
        if is_l2a
        else ("Radiometric_Offset_List", "RADIO_ADD_OFFSET")
    )
    return node(
        parent, *(node(child, -OFFSET_DN, band_id=number) for number in range(len(CHANNELS)))
    )


def _reflectance_conversion(layout: ProductLayout) -> Node:
    return node(
        "Reflectance_Conversion",
        node("U", layout.scene.acquisition.sun_distance_factor),
        node(
            "Solar_Irradiance_List",
            *(
                node("SOLAR_IRRADIANCE", channel.irradiance, bandId=number, unit="W/m²/µm")
                for number, channel in enumerate(CHANNELS)
            ),
        ),
    )


def _spectral(number: int) -> Node:
    channel = CHANNELS[number]
    shortest, longest, central = channel.wavelength_nm
    return node(
        "Spectral_Information",
        node("RESOLUTION", BANDS[channel.band].resolution_m),
        node(
            "Wavelength",
            node("MIN", shortest, unit="nm"),
            node("MAX", longest, unit="nm"),
            node("CENTRAL", central, unit="nm"),
        ),
        bandId=number,
        physicalBand=channel.physical_band,
    )


def _scene_classes() -> Node:
    return node(
        "Scene_Classification_List",
        *(
            node(
                "Scene_Classification_ID",
                node("SCENE_CLASSIFICATION_TEXT", text),
                node("SCENE_CLASSIFICATION_INDEX", index),
            )
            for index, text in enumerate(SCENE_CLASSES)
        ),
    )


def _geometric_info(layout: ProductLayout) -> Node:
    return node(
        "Geometric_Info",
        node(
            "Product_Footprint",
            node(
                "Product_Footprint",
                node("Global_Footprint", node("EXT_POS_LIST", position_list(layout))),
            ),
            node("RASTER_CS_TYPE", "POINT"),
            node("PIXEL_ORIGIN", 1),
        ),
        node(
            "Coordinate_Reference_System",
            node("GEO_TABLES", "EPSG", version="1"),
            node("HORIZONTAL_CS_TYPE", "GEOGRAPHIC"),
        ),
    )


def position_list(layout: ProductLayout) -> str:
    """The outline of the data as `lat lon lat lon ...`, degrees, closed."""
    ring = lat_lon_ring(data_outline(layout.scene))
    return " ".join(f"{latitude:.10f} {longitude:.10f}" for latitude, longitude in ring)


def _quality_info(contents: SceneContents) -> Node:
    checks = (
        "FORMAT_CORRECTNESS", "GENERAL_QUALITY", "GEOMETRIC_QUALITY", "RADIOMETRIC_QUALITY",
        "SENSOR_QUALITY",
    )  # fmt: skip
    return node(
        "Quality_Indicators_Info",
        node("Cloud_Coverage_Assessment", f"{contents.cloudy_percentage:.6f}"),
        node(
            "Technical_Quality_Assessment",
            node("DEGRADED_ANC_DATA_PERCENTAGE", "0.0"),
            node("DEGRADED_MSI_DATA_PERCENTAGE", 0),
        ),
        node(
            "Quality_Control_Checks",
            node(
                "Quality_Inspections",
                *(node("quality_check", "PASSED", checkType=check) for check in checks),
            ),
            node("Failed_Inspections"),
        ),
    )
