"""The six classes of a KappaMask mask, with their STAC names and colours."""

from dataclasses import dataclass
from enum import IntEnum


class MaskClass(IntEnum):
    """Class ids as stored in a mask (uint8).

    Source: KappaZeta km_predict 2.4, class table; its ids are kept so that masks compare.
    """

    UNDEFINED = 0
    CLEAR = 1
    CLOUD_SHADOW = 2
    SEMI_TRANSPARENT_CLOUD = 3
    CLOUD = 4
    MISSING = 5

    @property
    def stac_name(self) -> str:
        """Machine name, as in `classification:classes` and in probability band names."""
        return self.name.lower()

    @property
    def style(self) -> "ClassStyle":
        """How the class is drawn and described."""
        return CLASS_STYLES[self]


@dataclass(frozen=True)
class ClassStyle:
    """Looks of a class."""

    title: str
    """Short text for tables and legends."""
    description: str
    """One sentence for STAC documents."""
    rgba: tuple[int, int, int, int]
    """Red, green, blue, alpha, 0-255 each."""

    @property
    def color_hint(self) -> str:
        """`RRGGBB`, upper case, as the classification extension wants it."""
        return "".join(f"{channel:02X}" for channel in self.rgba[:3])


CLASS_STYLES: dict[MaskClass, ClassStyle] = {
    MaskClass.UNDEFINED: ClassStyle(
        "undefined", "Not classified, or outside the area of interest", (0, 0, 0, 0)
    ),
    MaskClass.CLEAR: ClassStyle("clear", "Clear view of the surface", (92, 165, 83, 255)),
    MaskClass.CLOUD_SHADOW: ClassStyle(
        "cloud shadow", "Surface in the shadow of a cloud", (74, 44, 107, 255)
    ),
    MaskClass.SEMI_TRANSPARENT_CLOUD: ClassStyle(
        "semi-transparent cloud",
        "Cloud or haze through which the surface can be seen",
        (141, 203, 235, 255),
    ),
    MaskClass.CLOUD: ClassStyle("cloud", "Cloud that hides the surface", (255, 255, 255, 255)),
    MaskClass.MISSING: ClassStyle("missing", "No data from the sensor", (128, 128, 128, 255)),
}
