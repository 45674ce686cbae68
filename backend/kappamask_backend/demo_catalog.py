"""The demo's catalog: the scene on several days, masked and published."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kappamask_backend.installation import open_installation
from kappamask_backend.publish_targets import Targets, Wish
from kappamask_catalog.masking import MaskOptions
from kappamask_catalog.publishing.publisher import Candidate, Publisher
from kappamask_catalog.publishing.run import PublishRun, RunReport, RunSetting
from kappamask_catalog.publishing.work import work_folder
from kappamask_catalog.scene import DEMO_DATES, DemoScene, write_product
from kappamask_catalog.sources import open_product
from kappamask_catalog.store.base import OPERATOR, Document, ItemQuery, SortKey
from kappamask_udf.errors import StoreError

DAYS_FOLDER = "other-days"


@dataclass(frozen=True)
class DemoCatalog:
    """What was published."""

    folder: Path
    """Data folder with the store and the files."""
    items: Sequence[Document]
    """The least cloudy first."""


def publish_demo_dates(
    scene: DemoScene,
    safe: Path,
    folder: Path,
    model: str | None,
    options: MaskOptions,
    progress: Callable[[str, float], None],
) -> DemoCatalog:
    """Write the scene on all days of the demo, and publish the masks into a store of their own.

    Args:
        scene: the scene on one day.
        safe: its product; those of the other days are written into a folder beside it.
        folder: data folder of the store.
        model: name of a model.
        options: how masks are made.
        progress: called with what is being done and the share of it that is done.

    Raises:
        StoreError: a mask could not be published.
    """
    candidates = []
    for index, date in enumerate(DEMO_DATES):
        progress(f"making the scene of {date}", index / len(DEMO_DATES))
        day = safe
        if date != scene.date:
            other = DemoScene(size_px=scene.size_px, date=date)
            day = write_product(other, safe.parent / DAYS_FOLDER, overwrite=True).safe
        candidates.append(Candidate(str(day), partial(open_product, str(day)), day.stem))
    with open_installation(folder) as here, work_folder(here.work_folder) as work:
        publisher = Publisher(Targets(here, Wish(model, options), work), threading.Event())
        done: list[str] = []

        def show(product: str) -> None:
            done.append(product)
            progress("publishing masks", len(done) / len(candidates))

        run = PublishRun(publisher, RunSetting(), lambda outcome: show(outcome.product))
        _check(run.run(candidates))
        query = ItemQuery(limit=100, sort=(SortKey("eo:cloud_cover"),))
        return DemoCatalog(folder, here.store.search(query, OPERATOR).items)


def _check(report: RunReport) -> None:
    if report.failures:
        first = report.failures[0]
        raise StoreError(f"the mask of {first.product} was not published: {first.reason}")
    if report.is_interrupted:
        raise KeyboardInterrupt
