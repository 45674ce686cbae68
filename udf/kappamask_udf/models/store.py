"""A user's own models: network files and their items in one folder, written so that an item never
names a file that is not whole.
"""

import copy
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from kappamask_udf.errors import ModelError, OutputError
from kappamask_udf.models.spec import MULTIHASH_SHA256, ModelSpec, parse_model_item

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]*")


def check_name(name: str) -> str:
    """Return `name` if models may be called so.

    Raises:
        ModelError: it may not.
    """
    if not NAME_PATTERN.fullmatch(name) or name.endswith(".json"):
        raise ModelError(
            f"a model's name has lower-case letters, digits, dots, hyphens and underscores, and "
            f"begins with a letter or digit; got {name!r}"
        )
    return name


def register_model(folder: Path, item: Mapping[str, Any], network: bytes) -> ModelSpec:
    """Write a network and its item into `folder`, in place of one of the same name.

    The network's file name holds its checksum and is written first, so at every moment the item,
    old or new, names a whole file; the old file goes last.

    Raises:
        ModelError: the item cannot be run, or names another file than `network`.
        OutputError: the folder cannot be written.
    """
    name = check_name(str(item["properties"]["mlm:name"]))
    digest = sha256(network).hexdigest()
    complete = copy.deepcopy(dict(item))
    asset = next(one for one in complete["assets"].values() if "mlm:model" in one.get("roles", ()))
    asset["href"] = f"{name}-{digest[:12]}.onnx"
    asset["file:checksum"] = MULTIHASH_SHA256 + digest
    asset["file:size"] = len(network)
    spec = parse_model_item(complete, base=folder, origin=f"model {name!r}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / asset["href"], network)
        text = json.dumps(complete, indent=2, ensure_ascii=False) + "\n"
        _replace(folder / f"{name}.json", text.encode("utf-8"))
    except OSError as error:
        raise OutputError(
            f"cannot write the model into {folder}: {error.strerror or error}"
        ) from error
    for old in folder.glob(f"{name}-*.onnx"):
        if re.fullmatch(re.escape(name) + r"-[0-9a-f]{12}\.onnx", old.name) and (
            old.name != asset["href"]
        ):
            with suppress(OSError):
                old.unlink()
    return spec


def _replace(path: Path, content: bytes) -> None:
    """Write a file aside and move it into place once it is on the disk."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with aside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
