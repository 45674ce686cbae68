"""Which models there are: built in, in a folder of the user's, or from other packages.

Other packages add models through the entry-point group `kappamask.models`: the entry is a
folder of MLM items (a path) or a function that returns one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import metadata, resources
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kappamask_udf.errors import ChecksumError, MissingExtraError, ModelError, ModelNotFoundError
from kappamask_udf.models.spec import ModelSpec, read_model_item
from kappamask_udf.pixels import Level

ENTRY_POINT_GROUP = "kappamask.models"
_DEFAULTS: dict[Level, tuple[str, ...]] = {
    "L1C": ("kappamask-v2-l1c", "ukis-csmask-6b-l1c"),
    "L2A": ("kappamask-v2-l2a", "ukis-csmask-6b-l2a"),
}
"""Names by preference: KappaMask's own network where it was imported, else the embedded one."""


@dataclass(frozen=True)
class RegisteredModel:
    """A model and where its description was found."""

    spec: ModelSpec
    origin: str
    """`built-in`, `user`, or the name of the package that brought it."""

    def path(self) -> Path:
        """The ONNX file; see `locate`."""
        return locate(self.spec)

    @property
    def is_installed(self) -> bool:
        """Whether the ONNX file is there (its checksum is not looked at)."""
        try:
            return self.path().is_file()
        except (ModelError, MissingExtraError):
            return False


@dataclass(frozen=True)
class ModelRegistry:
    """All models that can be named. Later origins do not shadow earlier ones in silence: a name
    that is given twice is an error, except that a user's folder may replace a built-in item.
    """

    models: dict[str, RegisteredModel] = field(default_factory=dict)

    def get(self, name: str) -> RegisteredModel:
        """The model called `name`.

        Raises:
            ModelNotFoundError: there is none; the message lists those that are.
        """
        if name not in self.models:
            raise ModelNotFoundError(
                f"no model is called {name!r}; there are {', '.join(sorted(self.models))}"
            )
        return self.models[name]

    def default(self, level: Level) -> RegisteredModel:
        """The model that is taken for a product level when none is named.

        Raises:
            ModelNotFoundError: none for that level is registered.
        """
        for name in _DEFAULTS[level]:
            if name in self.models:
                return self.models[name]
        raise ModelNotFoundError(f"no model for {level} is registered")

    def __iter__(self) -> Iterator[RegisteredModel]:
        return iter(sorted(self.models.values(), key=lambda model: model.spec.name))


def load_registry(user_folder: Path | None = None) -> ModelRegistry:
    """The built-in models, those in `user_folder` and those of installed packages.

    Raises:
        ModelError: an item is broken, or two origins give the same name.
    """
    models = dict(_registered(_builtin_items(), "built-in"))
    for entry in metadata.entry_points(group=ENTRY_POINT_GROUP):
        package = entry.dist.name if entry.dist else entry.name
        for name, model in _registered(_entry_point_items(entry), package):
            if name in models:
                raise ModelError(
                    f"the model name {name!r} is given by both {models[name].origin} and "
                    f"{package}; remove one of the packages"
                )
            models[name] = model
    if user_folder is not None and user_folder.is_dir():
        models.update(_registered(sorted(user_folder.glob("*.json")), "user"))
    return ModelRegistry(models)


def _registered(paths: Sequence[Path], origin: str) -> Iterator[tuple[str, RegisteredModel]]:
    for path in paths:
        spec = read_model_item(path)
        yield spec.name, RegisteredModel(spec, origin)


def _builtin_items() -> list[Path]:
    folder = resources.files("kappamask_udf.models") / "builtin"
    return sorted(Path(str(folder)).glob("*.json"))


def _entry_point_items(entry: metadata.EntryPoint) -> list[Path]:
    loaded: Path | str | Callable[[], Path | str] = entry.load()
    folder = Path(loaded() if callable(loaded) else loaded)
    if not folder.is_dir():
        raise ModelError(
            f"entry point {entry.name!r} of {ENTRY_POINT_GROUP} must give a folder of model "
            f"items, got {folder}"
        )
    return sorted(folder.glob("*.json"))


def locate(spec: ModelSpec) -> Path:
    """The path of a model's ONNX file, from its href. The file need not be there.

    Raises:
        ModelError: the href is of a kind that is not local.
        MissingExtraError: the package that carries the file is not installed.
    """
    parts = urlsplit(spec.href)
    if parts.scheme == "pkg":
        return _locate_in_package(spec, parts.path, unquote(parts.fragment))
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.scheme and len(parts.scheme) > 1:
        raise ModelError(
            f"the file of model {spec.name!r} is remote ({spec.href}); bring it here and "
            "register a local item"
        )
    path = Path(spec.href)
    return path if path.is_absolute() or spec.base is None else spec.base / path


def _locate_in_package(spec: ModelSpec, package_path: str, subpath: str) -> Path:
    # Package URL: pkg:pypi/NAME@VERSION#SUBPATH (purl specification).
    kind, _, rest = package_path.partition("/")
    name, _, version = rest.partition("@")
    if kind != "pypi" or not name or not subpath or ".." in Path(subpath).parts:
        raise ModelError(
            f"model {spec.name!r} has the href {spec.href}; only pkg:pypi/NAME@VERSION#PATH is read"
        )
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise MissingExtraError(
            f"model {spec.name!r} is carried by the package {name}, which is not installed; "
            "install 'openeo-kappamask[cpu]' or 'openeo-kappamask[gpu]'"
        ) from error
    if version and distribution.version != version:
        raise ModelError(
            f"model {spec.name!r} needs {name} {version}, found {distribution.version}; "
            f"install {name}=={version}"
        )
    return Path(str(distribution.locate_file(subpath)))


def verify_checksum(spec: ModelSpec, path: Path) -> None:
    """Check that `path` holds the bytes that the model's item names.

    Raises:
        ModelError: the file cannot be read.
        ChecksumError: it is another file.
    """
    digest = sha256()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise ModelError(
            f"cannot read the file of model {spec.name!r}: {path}: {error.strerror}"
        ) from error
    if digest.hexdigest() != spec.sha256:
        raise ChecksumError(
            f"the file of model {spec.name!r} is not the one its item names: sha256 of {path} is "
            f"{digest.hexdigest()}, expected {spec.sha256}; install it again"
        )
