"""Items of a store as one table: stac-geoparquet, for those who ask with SQL or geopandas."""

import json
import os
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from kappamask_catalog.collection.keeping import all_items
from kappamask_catalog.store.base import OPERATOR, Store
from kappamask_udf.errors import MissingExtraError, OutputError, OutputExistsError


def export_geoparquet(store: Store, target: Path, collection_ids: Sequence[str] = ()) -> int:
    """Write the items of some collections (all if empty) to a parquet file; how many.

    The file is complete or not there. Items go through a file on disk, so memory does not grow with
    their number.

    Raises:
        OutputExistsError: the file is there already.
        OutputError: it cannot be written, or there is no item.
        NotInStoreError: there is no such collection.
        MissingExtraError: `stac-geoparquet` is not installed.
    """
    try:
        from stac_geoparquet.arrow import parse_stac_ndjson_to_parquet
    except ImportError as error:
        raise MissingExtraError(
            "a table of items needs stac-geoparquet; install 'openeo-kappamask[geoparquet]'"
        ) from error
    if target.exists():
        raise OutputExistsError(f"{target} is there already; choose another name")
    wanted = collection_ids or [one["id"] for one in store.list_collections(OPERATOR)]
    aside = target.with_name(f".{target.name}.partial-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        with tempfile.TemporaryDirectory(prefix="kappamask-") as folder:
            lines = Path(folder) / "items.ndjson"
            count = _write_lines(store, lines, wanted)
            if not count:
                raise OutputError("there is no item to write into a table")
            parse_stac_ndjson_to_parquet(lines, aside)
        aside.replace(target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        aside.unlink(missing_ok=True)
    return count


def _write_lines(store: Store, path: Path, collection_ids: Sequence[str]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for collection_id in collection_ids:
            store.get_collection(collection_id, OPERATOR)
            for item in all_items(store, collection_id):
                file.write(json.dumps(item) + "\n")
                count += 1
    return count
