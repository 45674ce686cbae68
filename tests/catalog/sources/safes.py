"""Small SAFE products with the element names of real ones, in every form that is read."""

import hashlib
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

LEFT, TOP, EPSG = 600000, 5000040, 32632
BAND_IDS = [
    "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12",
]  # fmt: skip
RESOLUTIONS = {
    "B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20, "B08": 10,
    "B8A": 20, "B09": 60, "B10": 60, "B11": 20, "B12": 20, "AOT": 10, "WVP": 10,
}  # fmt: skip
GRANULE = "{level}_T32TNN_A040000_20230601T101559"
STAMP = "T32TNN_20230601T101601"


@dataclass(frozen=True)
class SafeSpec:
    """What a small product is like."""

    level: str = "L1C"
    baseline: str = "05.09"
    shape_yx: tuple[int, int] = (120, 180)
    offset: int | None = -1000
    quantification: int = 10000
    bands: tuple[str, ...] = ("B02", "B8A", "B10")
    has_masks: bool = True
    has_manifest: bool = True
    checksum: str = "SHA3-256"
    block_px: int = 64
    spectral_bands: tuple[str, ...] = tuple(BAND_IDS)
    lost_rows: tuple[int, int] = (30, 40)
    outside_cols: int = 12
    offsets: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        number = self.baseline.replace(".", "")
        return f"S2A_MSI{self.level}_20230601T101601_N{number}_R065_T32TNN_20230601T120000"

    @property
    def granule(self) -> str:
        return f"GRANULE/{GRANULE.format(level=self.level)}"


def band_dn(band: str, resolution_m: int, spec: SafeSpec) -> NDArray[np.uint16]:
    """Numbers without any symmetry, different for every band and resolution."""
    rows, cols = (side * 10 // resolution_m for side in spec.shape_yx)
    seed = int.from_bytes(hashlib.sha256(f"{band}{resolution_m}".encode()).digest()[:4], "big")
    noise = np.random.default_rng(seed).integers(1, 400, (rows, cols))
    return (1000 + noise + np.add.outer(np.arange(rows) * 7, np.arange(cols) * 3)).astype(np.uint16)


def write_jp2(
    path: Path,
    pixels: NDArray[np.generic],
    resolution_m: int,
    block_px: int = 64,
    **options: object,
) -> None:
    """A lossless JP2 at the corner of the product."""
    path.parent.mkdir(parents=True, exist_ok=True)
    planes = pixels if pixels.ndim == 3 else pixels[None]
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", height=planes.shape[1], width=planes.shape[2],
        count=planes.shape[0], dtype=planes.dtype, crs=f"EPSG:{EPSG}",
        transform=Affine(resolution_m, 0, LEFT, 0, -resolution_m, TOP), QUALITY="100",
        REVERSIBLE="YES", YCBCR420="NO", tiled=True, BLOCKXSIZE=block_px,
        BLOCKYSIZE=block_px, **options,
    ) as dataset:  # fmt: skip
        dataset.write(planes)
    path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)


def gml_mask(features: Iterable[tuple[str, list[tuple[float, float]]]], epsg: int = EPSG) -> str:
    """A GML mask with three-dimensional coordinates, as ESA writes them."""
    members = "".join(
        f"""<eop:MaskFeature gml:id="{kind}.{number}">
        <eop:maskType codeSpace="urn:gs2:S2PDGS:maskType">{kind}</eop:maskType><eop:extentOf>
        <gml:Polygon gml:id="{kind}.{number}_P"><gml:exterior><gml:LinearRing>
        <gml:posList srsDimension="3">{" ".join(f"{x} {y} 0" for x, y in ring)}</gml:posList>
        </gml:LinearRing></gml:exterior></gml:Polygon></eop:extentOf></eop:MaskFeature>"""
        for number, (kind, ring) in enumerate(features)
    )
    body = f"<eop:maskMembers>{members}</eop:maskMembers>" if members else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<eop:Mask xmlns:eop="http://www.opengis.net/eop/2.0" xmlns:gml="http://www.opengis.net/gml/3.2">
<gml:boundedBy><gml:Envelope srsName="urn:ogc:def:crs:EPSG:8.7:{epsg}"/></gml:boundedBy>
{body}</eop:Mask>"""


def pixel_ring(row0: float, row1: float, col0: float, col1: float) -> list[tuple[float, float]]:
    """A closed ring around pixels of the 10 m grid."""
    left, right, top, bottom = LEFT + col0 * 10, LEFT + col1 * 10, TOP - row0 * 10, TOP - row1 * 10
    return [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]


def write_safe(folder: Path, spec: SafeSpec) -> Path:
    """Writes a product below `folder` and returns its root."""
    root = folder / f"{spec.name}.SAFE"
    images = _write_bands(root, spec)
    masks = _write_masks(root, spec) if spec.has_masks else []
    (root / f"MTD_MSI{spec.level}.xml").write_text(product_xml(spec, images))
    (root / spec.granule / "MTD_TL.xml").write_text(granule_xml(spec, masks))
    if spec.has_manifest:
        (root / "manifest.safe").write_text(manifest_xml(root, spec))
    return root


def _write_bands(root: Path, spec: SafeSpec) -> list[str]:
    images = []
    for band in spec.bands:
        finest = RESOLUTIONS[band]
        for metres in (10, 20, 60) if spec.level == "L2A" else (finest,):
            if metres < finest:
                continue
            name = f"{spec.granule}/IMG_DATA/{STAMP}_{band}"
            if spec.level == "L2A":
                name = f"{spec.granule}/IMG_DATA/R{metres}m/{STAMP}_{band}_{metres}m"
            write_jp2(root / f"{name}.jp2", band_dn(band, metres, spec), metres, spec.block_px)
            images.append(name)
    return images


def _write_masks(root: Path, spec: SafeSpec) -> list[tuple[str, str, str]]:
    masks = []
    rows, cols = spec.shape_yx
    for band in spec.bands:
        if band not in BAND_IDS:
            continue
        is_raster = spec.baseline >= "04.00"
        for kind in ("MSK_DETFOO", "MSK_QUALIT" if is_raster else "MSK_TECQUA"):
            name = f"{spec.granule}/QI_DATA/{kind}_{band}.{'jp2' if is_raster else 'gml'}"
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if is_raster:
                _write_raster_mask(path, kind, band, spec)
            elif kind == "MSK_DETFOO":
                ring = pixel_ring(-5, rows + 5, spec.outside_cols, cols + 5)
                path.write_text(gml_mask([("DETECTOR_FOOTPRINT", ring)]))
            else:
                lost = pixel_ring(*spec.lost_rows, -5, cols + 5)
                everything = pixel_ring(0, rows, 0, cols)
                features = [("MSI_LOST", lost), ("ANC_LOST", everything)]
                path.write_text(gml_mask(features if band == spec.bands[0] else []))
            masks.append((band, kind, name))
    return masks


def _write_raster_mask(path: Path, kind: str, band: str, spec: SafeSpec) -> None:
    metres = RESOLUTIONS[band]
    rows, cols = (side * 10 // metres for side in spec.shape_yx)
    if kind == "MSK_DETFOO":
        mask = np.full((1, rows, cols), 5, np.uint8)
        mask[:, :, : spec.outside_cols * 10 // metres] = 0
    else:
        mask = np.zeros((8, rows, cols), np.uint8)
        mask[0] = 1  # lost ancillary packets: no loss of pixels
        if band == spec.bands[0]:
            mask[2, spec.lost_rows[0] * 10 // metres : spec.lost_rows[1] * 10 // metres] = 1
    write_jp2(path, mask, metres, spec.block_px)


def product_xml(spec: SafeSpec, images: list[str]) -> str:
    """MTD_MSIL1C.xml or MTD_MSIL2A.xml."""
    tag = "RADIO_ADD_OFFSET" if spec.level == "L1C" else "BOA_ADD_OFFSET"
    listing = "Radiometric_Offset_List" if spec.level == "L1C" else "BOA_ADD_OFFSET_VALUES_LIST"
    offsets = ""
    if spec.offset is not None:
        values = "".join(
            f'<{tag} band_id="{number}">{spec.offsets.get(band, spec.offset)}</{tag}>'
            for number, band in enumerate(spec.spectral_bands)
        )
        offsets = f"<{listing}>{values}</{listing}>"
    if spec.level == "L1C":
        value = f"{spec.quantification}</QUANTIFICATION_VALUE>"
        quantification = f'<QUANTIFICATION_VALUE unit="none">{value}'
    else:
        quantification = f"""<QUANTIFICATION_VALUES_LIST>
        <BOA_QUANTIFICATION_VALUE unit="none">{spec.quantification}</BOA_QUANTIFICATION_VALUE>
        <AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>
        <WVP_QUANTIFICATION_VALUE unit="cm">1000.0</WVP_QUANTIFICATION_VALUE>
        </QUANTIFICATION_VALUES_LIST>"""
    spectral = "".join(
        f'<Spectral_Information bandId="{number}" physicalBand="{band.replace("B0", "B")}"/>'
        for number, band in enumerate(spec.spectral_bands)
    )
    files = "".join(f"<IMAGE_FILE>{image}</IMAGE_FILE>" for image in images)
    prefix = f"S2A_OPER_MSI_{spec.level}"
    start, name = "2023-06-01T10:16:01.024Z", spec.level[1:]
    footprint = "45.15 10.27 45.15 10.29 45.14 10.29 45.14 10.27 45.15 10.27"
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{name}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{name}.xsd">
<n1:General_Info><Product_Info>
<PRODUCT_START_TIME>{start}</PRODUCT_START_TIME><PRODUCT_STOP_TIME>{start}</PRODUCT_STOP_TIME>
<PRODUCT_URI>{spec.name}.SAFE</PRODUCT_URI><PROCESSING_LEVEL>Level-{name}</PROCESSING_LEVEL>
<PRODUCT_TYPE>S2MSI{name}</PRODUCT_TYPE><PROCESSING_BASELINE>{spec.baseline}</PROCESSING_BASELINE>
<GENERATION_TIME>2023-06-01T12:00:00.000000Z</GENERATION_TIME>
<Datatake datatakeIdentifier="GS2A_20230601T101601_040000_N{spec.baseline}">
<SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME><DATATAKE_TYPE>INS-NOBS</DATATAKE_TYPE>
<DATATAKE_SENSING_START>{start}</DATATAKE_SENSING_START>
<SENSING_ORBIT_NUMBER>65</SENSING_ORBIT_NUMBER>
<SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION></Datatake>
<Product_Organisation><Granule_List>
<Granule imageFormat="JPEG2000"
datastripIdentifier="{prefix}_DS_2APS_20230601T120000_S20230601T101559_N{spec.baseline}"
granuleIdentifier="{prefix}_TL_2APS_20230601T120000_A040000_T32TNN_N{spec.baseline}">
{files}</Granule></Granule_List></Product_Organisation></Product_Info>
<Product_Image_Characteristics>{quantification}{offsets}
<Reflectance_Conversion><U>0.97</U></Reflectance_Conversion>
<Spectral_Information_List>{spectral}</Spectral_Information_List>
</Product_Image_Characteristics></n1:General_Info>
<n1:Geometric_Info><Product_Footprint><Product_Footprint><Global_Footprint>
<EXT_POS_LIST>{footprint} </EXT_POS_LIST>
</Global_Footprint></Product_Footprint></Product_Footprint></n1:Geometric_Info>
<n1:Quality_Indicators_Info><Cloud_Coverage_Assessment>37.5</Cloud_Coverage_Assessment>
</n1:Quality_Indicators_Info></n1:Level-{name}_User_Product>"""


def granule_xml(spec: SafeSpec, masks: list[tuple[str, str, str]]) -> str:
    """MTD_TL.xml."""
    name = spec.level[1:]
    sizes = "".join(
        f'<Size resolution="{metres}"><NROWS>{spec.shape_yx[0] * 10 // metres}</NROWS>'
        f"<NCOLS>{spec.shape_yx[1] * 10 // metres}</NCOLS></Size>"
        f'<Geoposition resolution="{metres}"><ULX>{LEFT}</ULX><ULY>{TOP}</ULY>'
        f"<XDIM>{metres}</XDIM><YDIM>-{metres}</YDIM></Geoposition>"
        for metres in (10, 20, 60)
    )
    angles = "".join(
        f'<Mean_Viewing_Incidence_Angle bandId="{number}"><ZENITH_ANGLE>5.5</ZENITH_ANGLE>'
        "<AZIMUTH_ANGLE>104.5</AZIMUTH_ANGLE></Mean_Viewing_Incidence_Angle>"
        for number in range(13)
    )
    files = "".join(
        f'<MASK_FILENAME bandId="{spec.spectral_bands.index(band)}" type="{kind}">{path}'
        "</MASK_FILENAME>"
        for band, kind, path in masks
    )
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{name}_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-{name}_Tile_Metadata.xsd">
<n1:General_Info>
<TILE_ID>S2A_OPER_MSI_{spec.level}_TL_2APS_20230601T120000_A040000_T32TNN_N{spec.baseline}</TILE_ID>
</n1:General_Info><n1:Geometric_Info><Tile_Geocoding>
<HORIZONTAL_CS_NAME>WGS84 / UTM zone 32N</HORIZONTAL_CS_NAME>
<HORIZONTAL_CS_CODE>EPSG:{EPSG}</HORIZONTAL_CS_CODE>{sizes}</Tile_Geocoding>
<Tile_Angles><Mean_Sun_Angle><ZENITH_ANGLE>25.5</ZENITH_ANGLE><AZIMUTH_ANGLE>150.5</AZIMUTH_ANGLE>
</Mean_Sun_Angle><Mean_Viewing_Incidence_Angle_List>{angles}</Mean_Viewing_Incidence_Angle_List>
</Tile_Angles></n1:Geometric_Info><n1:Quality_Indicators_Info><Image_Content_QI>
<CLOUDY_PIXEL_PERCENTAGE>37.5</CLOUDY_PIXEL_PERCENTAGE></Image_Content_QI>
<Pixel_Level_QI geometry="FULL_RESOLUTION">{files}</Pixel_Level_QI>
</n1:Quality_Indicators_Info></n1:Level-{name}_Tile_ID>"""


def manifest_xml(root: Path, spec: SafeSpec) -> str:
    """manifest.safe with sizes and checksums."""
    level = spec.level[1:]
    objects = ""
    for number, path in enumerate(sorted(root.rglob("*.*"))):
        name = path.relative_to(root).as_posix()
        identifier = f"IMG_DATA_{number}"
        if name.startswith("MTD_MSI"):
            identifier = f"S2_Level-{level}_Product_Metadata"
        elif name.endswith("MTD_TL.xml"):
            identifier = f"S2_Level-{level}_Tile1_Metadata"
        algorithm = spec.checksum.lower().replace("-", "_")
        digest = hashlib.new(algorithm, path.read_bytes()).hexdigest()
        objects += f"""<dataObject ID="{identifier}"><byteStream size="{path.stat().st_size}">
        <fileLocation href="./{name}" locatorType="URL"/>
        <checksum checksumName="{spec.checksum}">{digest.upper()}</checksum>
        </byteStream></dataObject>"""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1">
<dataObjectSection>{objects}</dataObjectSection></xfdu:XFDU>"""


def zip_folder(root: Path, target: Path, prefix: str = "") -> Path:
    """Packs a product the way ESA does, deflated, with the SAFE folder inside."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, prefix + path.relative_to(root.parent).as_posix())
    return target
