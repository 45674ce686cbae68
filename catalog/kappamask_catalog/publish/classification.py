"""How the six classes are written down: in STAC documents, colour tables and file tags."""

from typing import Any

from kappamask_udf.classes import MaskClass

RGBA = tuple[int, int, int, int]


def build_classification_classes() -> list[dict[str, Any]]:
    """`classification:classes` of a mask, in the order of the class ids."""
    return [
        {
            "value": int(one),
            "name": one.stac_name,
            "title": one.style.title,
            "description": one.style.description,
            "color_hint": one.style.color_hint,
            **({"nodata": True} if one is MaskClass.UNDEFINED else {}),
        }
        for one in MaskClass
    ]


def build_color_table() -> dict[int, RGBA]:
    """Red, green, blue and alpha by class id."""
    return {int(one): one.style.rgba for one in MaskClass}


def build_class_tags() -> dict[str, str]:
    """Tags of a mask's band, `CLASS_<id>` to the STAC name.

    TIFF has no field for class names, and GDAL keeps its category names and attribute tables in
    an `.aux.xml` beside the file, which copies lose. Tags stay in the file: `gdalinfo` lists them
    with the band, QGIS under the layer's information.
    """
    return {f"CLASS_{int(one)}": one.stac_name for one in MaskClass}


def describe_classes() -> str:
    """One line that names all classes, for readers that show nothing but a description."""
    return ", ".join(f"{int(one)} {one.style.title}" for one in MaskClass)
