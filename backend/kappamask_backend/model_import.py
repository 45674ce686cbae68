"""KappaMaskv2's weights as KappaZeta publish them: fetched or brought by hand, converted, proven
and registered. Nothing is registered unless all of it went well.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kappamask_backend.download import Progress, download, resolve_url
from kappamask_backend.model_choice import check_user_name, user_model_folder
from kappamask_udf.errors import ChecksumError, DownloadError, MissingExtraError, ModelError
from kappamask_udf.models import ModelSpec
from kappamask_udf.models.store import register_model

MIRROR_VARIABLE = "KAPPAMASK_MODEL_MIRROR"
PUBLISHED = {
    f"kappamask-v2-{level}": (
        "http://kappamask.s3-website.eu-central-1.amazonaws.com/model_weights/2022-09-13/"
        f"{level}_deeplabv3plus.hdf5"
    )
    for level in ("l1c", "l2a")
}
"""Address of the weights by the name that they are registered under. Source: km_predict, README."""


@dataclass(frozen=True)
class ImportedModel:
    """A model that was registered."""

    spec: ModelSpec
    max_difference: float
    """Of probabilities 0-1, between the network as it runs and the original layer by layer."""
    argmax_agreement: float
    """Share of trial pixels that get the same class from both."""
    source_sha256: str
    """Of the weight file."""


def import_weights(path: Path, name: str, url: str | None = None) -> ImportedModel:
    """Convert a Keras weight file and register the network as `name`, in place of an earlier one.

    Args:
        path: the file.
        name: of the model. `kappamask-v2-l1c` and `kappamask-v2-l2a` become their level's default.
        url: where the file came from, for the record.

    Raises:
        ModelError: the file does not hold KappaMaskv2's network, or that of another level than
            `name` stands for.
        MissingExtraError: h5py, onnx or ONNX Runtime is not installed.
        OutputError: the model folder cannot be written.
    """
    try:
        from kappamask_udf.deeplab import (
            build_item,
            convert_weights,
            describe_source,
            template_names,
        )
    except ImportError as error:
        raise MissingExtraError(
            "importing a model needs onnx and h5py; install 'openeo-kappamask[import]'"
        ) from error
    check_user_name(name)
    conversion = convert_weights(path)
    own_name = template_names()[conversion.level]
    if name != own_name and name in template_names().values():
        raise ModelError(
            f"{path} holds the network for {conversion.level} ({conversion.weights.n_bands} "
            f"bands), which cannot be called {name!r}; import it --as {own_name}"
        )
    source = describe_source(path, url)
    item = build_item(conversion, name, source)
    spec = register_model(user_model_folder(), item, conversion.network)
    return ImportedModel(
        spec, conversion.max_difference, conversion.argmax_agreement, source.sha256
    )


def fetch_weights(
    name: str,
    *,
    url: str | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
    attempts: int = 5,
) -> tuple[Path, str]:
    """Bring the published weights of a model to the model folder.

    Args:
        name: one of `PUBLISHED`.
        url: another address; by default the published one, or the file of that name on the mirror
            in `KAPPAMASK_MODEL_MIRROR`.
        sha256: checksum that the file must have, if known.
        progress: called as bytes come.
        attempts: tries in all.

    Returns:
        The file and the address it came from, without credentials.

    Raises:
        ModelError: there are no published weights of that name.
        DownloadError: they cannot be had; the message says how to bring them by hand.
        ChecksumError: they are not those of `sha256`.
    """
    if name not in PUBLISHED:
        raise ModelError(
            f"weights are published for {' and '.join(PUBLISHED)}, not for {name!r}; for a file of "
            "your own use kappamask models import FILE --as NAME"
        )
    address = url or resolve_url(PUBLISHED[name], os.environ.get(MIRROR_VARIABLE))
    target = user_model_folder() / "downloads" / f"{name}.hdf5"
    try:
        got = download(address, target, progress=progress, attempts=attempts)
    except DownloadError as error:
        raise DownloadError(
            f"{error}. Bring the file here by other means and run: kappamask models import FILE "
            f"--as {name}; or name another address with --url or {MIRROR_VARIABLE}"
        ) from error
    if sha256 is not None and got.sha256 != sha256.lower():
        target.unlink()
        raise ChecksumError(
            f"the file from {got.url} has sha256 {got.sha256}, expected {sha256.lower()}"
        )
    return got.path, got.url


def drop_download(path: Path) -> None:
    """Remove a fetched file, and its folder if nothing else is in it."""
    path.unlink(missing_ok=True)
    with suppress(OSError):
        path.parent.rmdir()
