"""A folder of products: found by name, complete ones only, as they come."""

import logging
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kappamask_catalog.products import (
    ProductRef,
    SourceConfig,
    open_collection,
    open_ref,
    watch_folder,
)
from kappamask_catalog.scene import DEMO_DATES, DemoScene, write_product
from kappamask_udf.errors import SourceError
from tests.catalog.sources.safes import SafeSpec, write_safe, zip_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "products"
    folder.mkdir()
    return folder


@pytest.fixture
def config(root: Path) -> SourceConfig:
    return SourceConfig("disk", "folder", str(root), "L1C")


def rename(safe: Path, time: str) -> Path:
    """The same product under another time."""
    return safe.rename(safe.with_name(safe.name.replace("20230601T101601", time, 1)))


def ids(config: SourceConfig, **query: object) -> list[str]:
    return [ref.id for ref in open_collection(config).search(**query)]  # type: ignore[arg-type]


def test_search_finds_folders_and_archives_newest_first(
    root: Path, config: SourceConfig, tmp_path: Path
) -> None:
    first = rename(write_safe(root, SafeSpec()), "20230101T101601")
    (root / "2023" / "06").mkdir(parents=True)
    second = write_safe(root / "2023" / "06", SafeSpec())
    other = rename(write_safe(tmp_path, SafeSpec()), "20240101T101601")
    third = zip_folder(other, root / f"{other.name}.zip")
    write_safe(root, SafeSpec(level="L2A"))
    refs = list(open_collection(config).search())
    assert [ref.location for ref in refs] == [str(third), str(second), str(first)]
    assert refs[1] == ProductRef(
        id=second.name.removesuffix(".SAFE"),
        location=str(second),
        datetime=datetime(2023, 6, 1, 10, 16, 1, tzinfo=UTC),
        level="L1C",
        tile="32TNN",
    )
    assert ids(replace(config, level="L2A")) == [SafeSpec(level="L2A").name]


def test_search_reference_opens(root: Path, config: SourceConfig, tmp_path: Path) -> None:
    write_safe(root, SafeSpec())
    zipped = rename(write_safe(tmp_path, SafeSpec()), "20240101T101601")
    zip_folder(zipped, root / f"{zipped.name.removesuffix('.SAFE')}.zip")
    for ref in open_collection(config).search():
        with open_ref(ref, config, workdir=tmp_path / "work") as product:
            assert product.level == ref.level
            assert product.location == ref.location


def test_search_conditions_hold(root: Path, config: SourceConfig, tmp_path: Path) -> None:
    for time in ("20230101T101601", "20230301T101601"):
        rename(write_safe(root, SafeSpec()), time)
    zipped = write_safe(tmp_path, SafeSpec())
    zip_folder(zipped, root / f"{zipped.name}.zip")
    inside, outside = (10.28, 45.0, 11.0, 45.145), (10.3, 45.0, 11.0, 45.2)
    assert len(ids(config, bbox=inside)) == 3
    assert ids(config, bbox=outside) == []
    march = (datetime(2023, 2, 1, tzinfo=UTC), datetime(2023, 4, 1, tzinfo=UTC))
    assert len(ids(config, bbox=inside, interval=march)) == 1
    assert len(ids(config, limit=2)) == 2


@pytest.mark.parametrize(
    ("longitudes", "bbox", "is_found"),
    [
        ((179.5, -179.5), (170.0, 40.0, -170.0, 50.0), True),
        ((179.5, -179.5), (179.0, 40.0, 180.0, 50.0), True),
        ((179.5, -179.5), (-180.0, 40.0, -179.0, 50.0), True),
        ((179.5, -179.5), (-10.0, 40.0, 10.0, 50.0), False),
        ((10.0, 11.0), (170.0, 40.0, -170.0, 50.0), False),
        ((10.0, 11.0), (10.5, 40.0, -170.0, 50.0), True),
    ],
)
def test_search_antimeridian_is_crossed(
    root: Path,
    config: SourceConfig,
    longitudes: tuple[float, float],
    bbox: tuple[float, float, float, float],
    is_found: bool,
) -> None:
    safe = write_safe(root, SafeSpec(has_manifest=False))
    west, east = longitudes
    positions = f"45.2 {west} 45.2 {east} 45.1 {east} 45.1 {west} 45.2 {west}"
    path = safe / "MTD_MSIL1C.xml"
    text = path.read_text()
    start, end = text.index("<EXT_POS_LIST>"), text.index("</EXT_POS_LIST>")
    path.write_text(f"{text[:start]}<EXT_POS_LIST>{positions} {text[end:]}")
    (safe / "manifest.safe").write_text("<xfdu/>")
    assert bool(ids(config, bbox=bbox)) == is_found


@pytest.mark.parametrize("part", ["manifest", "band", "short band", "metadata", "mask", "archive"])
def test_search_incomplete_product_is_left_for_later(
    root: Path, config: SourceConfig, tmp_path: Path, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    safe = write_safe(tmp_path, SafeSpec())
    if part == "archive":
        packed = zip_folder(safe, tmp_path / "whole.zip").read_bytes()
        (root / f"{safe.name}.zip").write_bytes(packed[: len(packed) - 300])
    else:
        copy = shutil.copytree(safe, root / safe.name)
        names = {
            "manifest": "manifest.safe",
            "metadata": "MTD_MSIL1C.xml",
            "mask": "GRANULE/*/QI_DATA/MSK_DETFOO_B02.jp2",
        }
        path = next(copy.glob(names.get(part, "GRANULE/*/IMG_DATA/*_B8A.jp2")))
        if part == "short band":
            path.write_bytes(path.read_bytes()[:-1])
        else:
            path.unlink()
    assert ids(config) == []
    assert "is not complete yet" in caplog.text


def test_search_product_without_needless_files_is_complete(
    root: Path, config: SourceConfig
) -> None:
    safe = write_safe(root, SafeSpec())
    manifest = safe / "manifest.safe"
    entry = (
        '<byteStream size="9"><fileLocation href="./{}"/>'
        '<checksum checksumName="MD5">0</checksum></byteStream>'
    )
    names = ("HTML/star_bg.jpg", "rep_info/S2_PDI.xsd", "INSPIRE.xml", f"{safe.name}-ql.jpg")
    more = "".join(f"<dataObject>{entry.format(name)}</dataObject>" for name in names)
    text = manifest.read_text().replace("</dataObjectSection>", f"{more}</dataObjectSection>")
    manifest.write_text(text)
    assert len(ids(config)) == 1


def test_search_product_of_the_embedded_scene_is_complete(root: Path, config: SourceConfig) -> None:
    paths = write_product(DemoScene(size_px=306, date=DEMO_DATES[0]), root)
    assert [ref.location for ref in open_collection(config).search()] == [str(paths.safe)]


def test_search_other_names_are_none(root: Path, config: SourceConfig) -> None:
    name = SafeSpec().name
    for other in (f".{name}.SAFE", f"{name}.SAFE.part", "S2A_demo.SAFE", name):
        (root / other).mkdir()
    for other in (f"{name}.SAFE", f"{name}.zip.crdownload", "notes.zip"):
        (root / other).write_text("x")
    (root / "loop").symlink_to(root)
    assert ids(config) == []


def test_search_missing_folder_says_so(config: SourceConfig) -> None:
    gone = replace(config, location=f"{config.location}-gone")
    with pytest.raises(SourceError, match=r"source disk: .*-gone cannot be read: No such file"):
        ids(gone)


def test_search_broken_footprint_says_so(root: Path, config: SourceConfig) -> None:
    safe = write_safe(root, SafeSpec(has_manifest=False))
    (safe / "manifest.safe").write_text("<xfdu/>")
    (safe / "MTD_MSIL1C.xml").write_text("<broken>")
    with pytest.raises(SourceError, match=r"footprint of .* cannot be read: .*no well-formed XML"):
        ids(config, bbox=(0, 0, 1, 1))


class Watcher:
    """Takes products from a watch, step by step."""

    def __init__(self, config: SourceConfig) -> None:
        self.stop = threading.Event()
        self._found: Iterator[ProductRef] = watch_folder(config, 0.001, self.stop)

    def take(self) -> str:
        return next(self._found).id

    def rest(self) -> list[str]:
        threading.Timer(0.2, self.stop.set).start()
        return [ref.id for ref in self._found]


def test_watch_folder_gives_each_product_when_it_is_complete(
    root: Path, config: SourceConfig, tmp_path: Path
) -> None:
    first = rename(write_safe(root, SafeSpec()), "20230301T101601")
    older = rename(write_safe(root, SafeSpec()), "20230101T101601")
    half = write_safe(root, SafeSpec())
    manifest = (half / "manifest.safe").read_bytes()
    (half / "manifest.safe").unlink()
    watcher = Watcher(config)
    assert [watcher.take(), watcher.take()] == [older.stem, first.stem]
    threading.Timer(0.1, (half / "manifest.safe").write_bytes, (manifest,)).start()
    assert watcher.take() == half.stem
    late = rename(write_safe(tmp_path, SafeSpec()), "20221201T101601")
    shutil.copytree(late, root / late.name)
    assert watcher.take() == late.stem
    assert watcher.rest() == []


def test_watch_folder_that_goes_away_comes_back(
    root: Path, config: SourceConfig, caplog: pytest.LogCaptureFixture
) -> None:
    first = write_safe(root, SafeSpec())
    watcher = Watcher(config)
    assert watcher.take() == first.stem
    aside = root.rename(root.with_name("aside"))

    def back() -> None:
        rename(write_safe(aside, SafeSpec(bands=("B02",))), "20240101T101601")
        aside.rename(root)

    shutil.rmtree(aside / first.name)
    threading.Timer(0.1, back).start()
    assert watcher.take().startswith("S2A_MSIL1C_20240101")
    assert "is looked into again" in caplog.text
    assert watcher.rest() == []


def test_watch_folder_of_another_kind_is_refused(config: SourceConfig) -> None:
    other = replace(config, kind="catalog")
    with pytest.raises(SourceError, match="is no folder, so it cannot be watched"):
        watch_folder(other, 1, threading.Event())


def test_watch_folder_missing_at_first_is_an_error(config: SourceConfig) -> None:
    gone = replace(config, location=f"{config.location}-gone")
    with pytest.raises(SourceError, match="cannot be read"):
        watch_folder(gone, 1, threading.Event())


def test_watch_folder_stopped_before_gives_nothing(root: Path, config: SourceConfig) -> None:
    write_safe(root, SafeSpec())
    watcher = Watcher(config)
    watcher.stop.set()
    assert watcher.rest() == []
