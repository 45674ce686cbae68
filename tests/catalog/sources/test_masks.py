"""Lost pixels come from raster and GML masks alike, and a part equals the crop of the whole."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kappamask_catalog.sources import Product, open_product
from kappamask_udf.errors import CorruptDataError
from kappamask_udf.pixels import PixelWindow
from tests.catalog.sources.safes import (
    BAND_IDS,
    SafeSpec,
    gml_mask,
    pixel_ring,
    write_jp2,
    write_safe,
)

MakeSafe = Callable[..., Path]
WHOLE = PixelWindow(0, 120, 0, 180)


def expected_lost(rows: slice | None) -> np.ndarray:
    lost = np.zeros((120, 180), np.bool_)
    lost[:, :12] = True
    if rows is not None:
        lost[rows] = True
    return lost


@pytest.mark.parametrize("baseline", ["05.09", "02.04"])
@pytest.mark.parametrize(
    ("bands", "rows"),
    [
        (["B02"], slice(30, 40)),
        (["B8A"], None),
        (["B8A", "B10"], None),
        (["B10", "B02"], slice(30, 40)),
    ],
)
def test_read_lost_footprint_and_quality_of_the_bands_are_joined(
    make_safe: MakeSafe, baseline: str, bands: list[str], rows: slice | None
) -> None:
    safe = make_safe(baseline=baseline, offset=-1000 if baseline > "04.00" else None)
    with open_product(str(safe)) as product:
        lost = product.read_lost(bands, WHOLE)
    assert lost is not None
    assert lost.dtype == np.bool_
    assert np.array_equal(lost, expected_lost(rows))


def test_read_lost_coarse_mask_repeats_its_pixels(make_safe: MakeSafe) -> None:
    safe = make_safe(bands=("B10",), lost_rows=(60, 66), outside_cols=6)
    with open_product(str(safe)) as product:
        lost = product.read_lost(["B10"], WHOLE)
        part = product.read_lost(["B10"], PixelWindow(63, 68, 4, 9))
    assert lost is not None
    assert lost[60:66].all()
    assert not lost[66:, 6:].any()
    assert np.array_equal(part, lost[63:68, 4:9])


@pytest.mark.parametrize("baseline", ["05.09", "02.04"])
def test_read_lost_without_masks_is_none(make_safe: MakeSafe, baseline: str) -> None:
    safe = make_safe(baseline=baseline, has_masks=False)
    with open_product(str(safe)) as product:
        assert product.read_lost(["B02"], WHOLE) is None


def test_read_lost_band_without_masks_is_none(l2a_safe: Path) -> None:
    with open_product(str(l2a_safe)) as product:
        assert product.read_lost(["AOT"], WHOLE) is None


def test_read_lost_masks_that_metadata_does_not_name_are_found(make_safe: MakeSafe) -> None:
    safe = make_safe()
    path = next(safe.glob("GRANULE/*/MTD_TL.xml"))
    path.write_text(path.read_text().replace("MASK_FILENAME", "OTHER"))
    with open_product(str(safe)) as product:
        lost = product.read_lost(["B02"], WHOLE)
    assert lost is not None
    assert np.array_equal(lost, expected_lost(slice(30, 40)))


def test_read_lost_band_id_follows_the_spectral_list(make_safe: MakeSafe) -> None:
    order = ("B12", *BAND_IDS[:12])
    with open_product(str(make_safe(spectral_bands=order))) as product:
        lost = product.read_lost(["B02"], WHOLE)
    assert lost is not None
    assert lost[30:40].all()


def test_read_lost_empty_gml_loses_nothing(make_safe: MakeSafe) -> None:
    safe = make_safe(baseline="02.04", offset=None)
    for path in safe.glob("GRANULE/*/QI_DATA/*.gml"):
        path.write_text(gml_mask([]))
    with open_product(str(safe)) as product:
        lost = product.read_lost(["B02"], WHOLE)
    assert lost is not None
    assert not lost.any()


def test_read_lost_gml_hole_is_outside_of_the_footprint(make_safe: MakeSafe) -> None:
    safe = make_safe(baseline="02.04", offset=None, bands=("B8A",), lost_rows=(0, 1))
    path = next(safe.glob("GRANULE/*/QI_DATA/MSK_DETFOO_B8A.gml"))
    hole = " ".join(f"{x} {y} 0" for x, y in pixel_ring(50, 60, 70, 90))
    interior = (
        "</gml:exterior><gml:interior><gml:LinearRing>"
        f'<gml:posList srsDimension="3">{hole}</gml:posList></gml:LinearRing></gml:interior>'
    )
    path.write_text(path.read_text().replace("</gml:exterior>", interior))
    with open_product(str(safe)) as product:
        lost = product.read_lost(["B8A"], WHOLE)
    assert lost is not None
    assert lost[50:60, 70:90].all()
    assert not lost[61:, 12:].any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<eop", "no well-formed XML"),
        (gml_mask([("DETECTOR_FOOTPRINT", pixel_ring(0, 9, 0, 9))], epsg=32633), "EPSG 32633"),
        (gml_mask([("DETECTOR_FOOTPRINT", [(0, 0)])]), "polygon that is none"),
        (
            gml_mask([("DETECTOR_FOOTPRINT", pixel_ring(0, 9, 0, 9))]).replace("600000", "west"),
            "coordinates that are none",
        ),
    ],
)
def test_read_lost_unreadable_gml_is_an_error(make_safe: MakeSafe, text: str, message: str) -> None:
    safe = make_safe(baseline="02.04", offset=None)
    next(safe.glob("GRANULE/*/QI_DATA/MSK_DETFOO_B02.gml")).write_text(text)
    with (
        open_product(str(safe)) as product,
        pytest.raises(CorruptDataError, match=message),
    ):
        product.read_lost(["B02"], WHOLE)


def test_read_lost_truncated_raster_is_an_error(make_safe: MakeSafe) -> None:
    safe = make_safe()
    path = next(safe.glob("GRANULE/*/QI_DATA/MSK_QUALIT_B02.jp2"))
    path.write_bytes(path.read_bytes()[:-200])
    with (
        open_product(str(safe)) as product,
        pytest.raises(CorruptDataError, match=r"MSK_QUALIT_B02\.jp2 is truncated"),
    ):
        product.read_lost(["B02"], WHOLE)


def test_read_lost_quality_raster_with_too_few_bands_is_an_error(make_safe: MakeSafe) -> None:
    safe = make_safe()
    path = next(safe.glob("GRANULE/*/QI_DATA/MSK_QUALIT_B02.jp2"))
    write_jp2(path, np.zeros((1, 120, 180), np.uint8), 10)
    with (
        open_product(str(safe)) as product,
        pytest.raises(CorruptDataError, match="has 1 bands, 3 are needed"),
    ):
        product.read_lost(["B02"], WHOLE)


@pytest.fixture(scope="module", params=["05.09", "02.04"])
def slanted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    """A product beyond one block, with slanted footprints; borders meet pixel centres."""
    baseline = request.param
    spec = SafeSpec(
        baseline=baseline, offset=-1000 if baseline > "04.00" else None,
        shape_yx=(660, 1140), bands=("B8A", "B10"), outside_cols=60, lost_rows=(300, 360),
        block_px=128,
    )  # fmt: skip
    safe = write_safe(tmp_path_factory.mktemp("slanted"), spec)
    if baseline < "04.00":
        features = [
            (
                "DETECTOR_FOOTPRINT",
                [
                    (600005.0 + 33 * number, 5000035.0),
                    (603337.7 + 3000 * number, 5000035.0),
                    (602222.2 + 3000 * number, 4993501.0),
                    (600005.0 + 33 * number, 5000035.0),
                ],
            )
            for number in range(3)
        ]
        path = next(safe.glob("GRANULE/*/QI_DATA/MSK_DETFOO_B8A.gml"))
        path.write_text(gml_mask(features))
    with open_product(str(safe)) as product:
        yield product


@settings(max_examples=40)
@given(data=st.data())
def test_read_lost_part_equals_the_crop_of_the_whole(slanted: Product, data: st.DataObject) -> None:
    row0, col0 = data.draw(st.integers(0, 659)), data.draw(st.integers(0, 1139))
    row1, col1 = data.draw(st.integers(row0 + 1, 660)), data.draw(st.integers(col0 + 1, 1140))
    whole = slanted.read_lost(["B8A", "B10"], PixelWindow(0, 660, 0, 1140))
    part = slanted.read_lost(["B8A", "B10"], PixelWindow(row0, row1, col0, col1))
    assert whole is not None
    assert 0 < whole.mean() < 1
    assert np.array_equal(part, whole[row0:row1, col0:col1])


def test_read_lost_does_not_change_what_it_gave_before(l1c_safe: Path) -> None:
    with open_product(str(l1c_safe)) as product:
        first = product.read_lost(["B8A"], WHOLE)
        assert first is not None
        first[...] = True
        again = product.read_lost(["B8A"], WHOLE)
    assert again is not None
    assert not again[60:, 60:].any()
