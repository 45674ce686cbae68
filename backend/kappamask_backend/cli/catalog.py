"""`kappamask catalog`: look at published masks, take them out, bring them in, take them away."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from kappamask_backend.cli.console import (
    err,
    note,
    out,
    print_json,
    reported_errors,
    start_logging,
)
from kappamask_backend.cli.publish_sources import parse_bbox, parse_interval
from kappamask_backend.installation import open_installation, read_settings, store_url
from kappamask_backend.model_choice import open_registry
from kappamask_catalog.collection.documents import COLLECTION_IDS
from kappamask_catalog.collection.keeping import all_items, ensure_collection
from kappamask_catalog.exchange.checking import check_store
from kappamask_catalog.exchange.cleaning import find_stray_prefixes
from kappamask_catalog.exchange.geoparquet import export_geoparquet
from kappamask_catalog.exchange.importing import find_items, import_item
from kappamask_catalog.exchange.removing import remove_masks
from kappamask_catalog.exchange.static import export_static
from kappamask_catalog.publishing.items import Place
from kappamask_catalog.publishing.work import work_folder
from kappamask_catalog.store.base import OPERATOR, ItemQuery, Store
from kappamask_catalog.store.opening import is_postgres
from kappamask_udf.errors import InvalidDocumentError, KappamaskError, NotInStoreError
from kappamask_udf.models import ModelSpec

app = typer.Typer(help="Look at published masks; export, import and remove them.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]
CollectionOption = Annotated[
    str | None, typer.Option("--collection", "-c", help="Id of a collection; all if not given.")
]


@app.command("list")
def list_masks(
    collection: CollectionOption = None,
    bbox: Annotated[str | None, typer.Option(help="west,south,east,north in degrees.")] = None,
    datetime: Annotated[
        str | None, typer.Option(help="A time or START/END; .. for an open end.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Masks at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List masks, the newest first."""
    start_logging(quiet=True)
    with reported_errors(as_json), open_installation() as here:
        query = ItemQuery(
            collections=None if collection is None else (collection,),
            bbox=None if bbox is None else parse_bbox(bbox),
            interval=None if datetime is None else parse_interval(datetime),
            limit=limit,
        )
        if collection is not None:
            here.store.get_collection(collection, OPERATOR)
        page = here.store.search(query, OPERATOR)
        if as_json:
            print_json({"matched": page.n_matched, "items": page.items})
            return
        table = Table(box=None, pad_edge=False)
        for heading in ("acquired", "cloud %", "model", "id"):
            table.add_column(heading, overflow="fold")
        for item in page.items:
            table.add_row(*_row(item))
        out.print(table)
        out.print(f"{len(page.items)} of {page.n_matched} masks", highlight=False)


def _row(item: dict[str, Any]) -> tuple[str, str, str, str]:
    properties = item["properties"]
    when = str(properties.get("datetime") or properties.get("start_datetime"))[:16]
    cover = properties.get("eo:cloud_cover")
    old = " (deprecated)" if properties.get("deprecated") else ""
    model = f"{properties.get('kappamask:model')} {properties.get('kappamask:model_version')}"
    return when, "" if cover is None else f"{cover:.1f}", model, f"{item['id']}{old}"


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Id of a collection or of a mask.")],
    collection: CollectionOption = None,
) -> None:
    """Print the document of a collection or of a mask as JSON."""
    start_logging(quiet=True)
    with reported_errors(), open_installation() as here:
        print_json(_find(here.store, name, collection))


def _find(store: Store, name: str, collection: str | None) -> dict[str, Any]:
    if collection is None:
        try:
            return store.get_collection(name, OPERATOR)
        except NotInStoreError:
            collection = _collection_of(store, name)
    return store.get_item(collection, name, OPERATOR)


def _collection_of(store: Store, item_id: str) -> str:
    found = store.search(ItemQuery(ids=(item_id,), limit=2), OPERATOR).items
    if not found:
        raise NotInStoreError(
            f"there is no collection or mask called {item_id!r}; list them with "
            "`kappamask catalog list`"
        )
    if len(found) > 1:
        raise NotInStoreError(f"{item_id!r} is in several collections; say which with --collection")
    return str(found[0]["collection"])


@app.command()
def delete(
    masks: Annotated[list[str], typer.Argument(help="Ids of masks.")],
    collection: CollectionOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove masks with their files."""
    start_logging(quiet=as_json)
    with reported_errors(as_json), open_installation() as here:
        by_collection: dict[str, list[str]] = {}
        for one in masks:
            place = collection or _collection_of(here.store, one)
            here.store.get_item(place, one, OPERATOR)
            by_collection.setdefault(place, []).append(one)
        if not yes and not typer.confirm(f"Remove {len(masks)} masks with their files?", err=True):
            raise typer.Exit(1)
        files = sum(
            remove_masks(here.store, here.storage, place, ids)
            for place, ids in by_collection.items()
        )
        if as_json:
            print_json({"masks": len(masks), "files": files})
        else:
            out.print(f"removed {len(masks)} masks and {files} files", highlight=False)


@app.command()
def export(
    target: Annotated[
        Path, typer.Argument(help="Folder for a static catalog, or a name that ends in .parquet.")
    ],
    collection: CollectionOption = None,
    files: Annotated[
        bool, typer.Option("--files", help="Copy the files too, so that the folder stands alone.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write masks as a static STAC catalog, or their items as a stac-geoparquet table."""
    start_logging(quiet)
    wanted = () if collection is None else (collection,)
    with (
        reported_errors(as_json),
        open_installation() as here,
        _counting("exporting", quiet) as bar,
    ):
        if target.suffix == ".parquet":
            if files:
                raise KappamaskError("a table holds no files; leave --files out, or give a folder")
            count = export_geoparquet(here.store, target, wanted)
        else:
            count = export_static(
                here.store, here.storage, _models(), target,
                collection_ids=wanted, with_files=files, progress=bar,
            )  # fmt: skip
        if as_json:
            print_json({"items": count, "target": str(target)})
        else:
            out.print(f"{count} items in {target}", highlight=False, markup=False)


def _models() -> list[ModelSpec]:
    return [one.spec for one in open_registry()]


class _Counter:
    """Shows how many are done."""

    def __init__(self, title: str, quiet: bool):
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._bar = Progress(*columns, console=err, disable=quiet, transient=True)
        self._title, self._count = title, 0
        self._task = self._bar.add_task(title, total=None)

    def __enter__(self) -> "_Counter":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, _: str = "") -> None:
        self._count += 1
        self._bar.update(self._task, description=f"{self._title} ({self._count})")


def _counting(title: str, quiet: bool) -> _Counter:
    return _Counter(title, quiet)


@app.command("import")
def import_masks(
    paths: Annotated[list[Path], typer.Argument(help="Result folders, static catalogs or items.")],
    force: Annotated[bool, typer.Option("--force", help="Replace masks of the same id.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Publish masks that were made before, or elsewhere, with copies of their files."""
    start_logging(quiet)
    with (
        reported_errors(as_json),
        open_installation() as here,
        work_folder(here.work_folder) as work,
        _counting("importing", quiet) as bar,
    ):
        counts = {"imported": 0, "present": 0}
        for path in paths:
            for item in find_items(path):
                collection_id = _ensure(here.store, item.properties, here.stac.host)
                place = Place(here.store, here.storage, collection_id)
                is_new = import_item(place, item, work, force)
                counts["imported" if is_new else "present"] += 1
                bar(item.id)
    if as_json:
        print_json(counts)
    else:
        out.print(
            f"{counts['imported']} imported, {counts['present']} there before", highlight=False
        )


def _ensure(store: Store, properties: dict[str, Any], host: str | None) -> str:
    told = properties.get("kappamask:level")
    for level in COLLECTION_IDS:
        if level == told:
            models = [one for one in _models() if one.level == level]
            return ensure_collection(store, level, models, host)
    raise InvalidDocumentError(
        f"kappamask:level must be one of {', '.join(COLLECTION_IDS)} (got {told!r})"
    )


@app.command()
def validate(
    checksums: Annotated[
        bool, typer.Option("--checksums", help="Read every file and compare its checksum.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Check every collection and mask against the schemas of STAC, and that files are there."""
    start_logging(quiet)
    findings, n_checked = [], 0
    with reported_errors(as_json), open_installation() as here, _counting("checking", quiet) as bar:
        for finding in check_store(here.store, here.storage, checksums):
            bar()
            n_checked += 1
            if finding is not None:
                findings.append(finding)
    if as_json:
        print_json({"problems": [vars(one) for one in findings]})
    else:
        for one in findings:
            out.print(f"{one.where}: {one.problem}", highlight=False, markup=False)
        out.print(f"{len(findings)} problems, {n_checked} checks", highlight=False)
    if findings:
        raise typer.Exit(1)


@app.command()
def clean(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove files that belong to no mask, left by processes that were killed."""
    start_logging(quiet=as_json)
    with reported_errors(as_json), open_installation() as here:
        stray = list(find_stray_prefixes(here.store, here.storage))
        for prefix in stray:
            if not dry_run:
                here.storage.delete_prefix(prefix)
        if as_json:
            print_json({"folders": stray, "removed": not dry_run})
            return
        for prefix in stray:
            out.print(prefix, highlight=False, markup=False)
        done = "would be removed" if dry_run else "removed"
        out.print(f"{len(stray)} folders {done}", highlight=False)


@app.command()
def stats(collection: CollectionOption = None, as_json: AsJson = False) -> None:
    """Count masks by model, and what they hold."""
    start_logging(quiet=True)
    with reported_errors(as_json), open_installation() as here:
        ids = [one["id"] for one in here.store.list_collections(OPERATOR)]
        if collection is not None:
            ids = [here.store.get_collection(collection, OPERATOR)["id"]]
        report = {one: _stats(all_items(here.store, one)) for one in ids}
    if as_json:
        print_json(report)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("collection", "masks", "deprecated", "first", "last", "mean cloud %", "GB"):
        table.add_column(heading, justify="left" if heading == "collection" else "right")
    for name, one in report.items():
        cover = one["mean_cloud_cover"]
        table.add_row(
            name, str(one["masks"]), str(one["deprecated"]), one["first"] or "", one["last"] or "",
            "" if cover is None else f"{cover:.1f}", f"{one['bytes'] / 1e9:.3f}",
        )  # fmt: skip
    out.print(table)
    for name, one in report.items():
        for model, count in one["models"].items():
            out.print(f"{name}: {count} by {model}", highlight=False, markup=False)


def _stats(items: Iterator[dict[str, Any]]) -> dict[str, Any]:
    models: Counter[str] = Counter()
    times, covers, size, n_old = [], [], 0, 0
    for item in items:
        properties = item["properties"]
        models[f"{properties['kappamask:model']} {properties['kappamask:model_version']}"] += 1
        times.append(str(properties.get("datetime") or properties.get("start_datetime"))[:10])
        if properties.get("eo:cloud_cover") is not None:
            covers.append(properties["eo:cloud_cover"])
        size += sum(asset.get("file:size", 0) for asset in item["assets"].values())
        n_old += bool(properties.get("deprecated"))
    return {
        "masks": models.total(),
        "deprecated": n_old,
        "first": min(times, default=None),
        "last": max(times, default=None),
        "mean_cloud_cover": sum(covers) / len(covers) if covers else None,
        "bytes": size,
        "models": dict(models),
    }


@app.command()
def migrate(as_json: AsJson = False) -> None:
    """Bring the tables of a PostgreSQL store up to date; SQLite stores do so by themselves."""
    start_logging(quiet=as_json)
    with reported_errors(as_json):
        data, stac, _ = read_settings()
        url = store_url(data, stac)
        if is_postgres(url):
            from kappamask_catalog.store.pgstac import migrate as migrate_pgstac

            migrate_pgstac(url)
        else:
            note("the store is on SQLite: nothing to do", as_json)
        if as_json:
            print_json({"migrated": is_postgres(url)})
        else:
            out.print("the store is up to date")
