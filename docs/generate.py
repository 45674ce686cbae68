"""MkDocs hook: fills the reference pages from the code.

A page holds a line `<!-- generate: NAME -->`, which is replaced by what the function of that name
in `GENERATORS` gives. Nothing that is generated is committed, so nothing can become stale.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings
from typer.models import ArgumentInfo, OptionInfo

import kappamask_catalog.products
import kappamask_catalog.sources
import kappamask_catalog.storage
import kappamask_udf
import kappamask_udf.models
from kappamask_backend.cli import app
from kappamask_backend.settings import DataSettings, ServeSettings, StacSettings, StorageSettings
from kappamask_catalog.scene import clouds
from kappamask_catalog.stac_api import StacApiSettings
from kappamask_catalog.stac_api import errors as api_errors
from kappamask_udf import errors
from kappamask_udf.classes import CLASS_STYLES
from kappamask_udf.deeplab.convert import read_template
from kappamask_udf.models import ModelSpec, load_registry

ROOT = Path(__file__).resolve().parent.parent
MARKER = re.compile(r"^<!-- generate: ([a-z-]+) -->$", re.MULTILINE)
_PUBLIC_MODULES = (
    kappamask_udf,
    kappamask_udf.models,
    kappamask_catalog.sources,
    kappamask_catalog.products,
    kappamask_catalog.storage,
)


def on_page_markdown(markdown: str, **_: object) -> str:
    """What MkDocs calls for the source of every page."""
    return fill(markdown)


def fill(markdown: str) -> str:
    """The page with every marker replaced; an unknown name is a `KeyError`."""
    return MARKER.sub(lambda found: GENERATORS[found[1]](), markdown)


@dataclass(frozen=True)
class Parameter:
    """An argument or option of a command."""

    name: str
    info: OptionInfo | ArgumentInfo
    kind: Any
    """Its type, without `None`."""
    default: Any

    @property
    def is_option(self) -> bool:
        """Whether it is an option."""
        return isinstance(self.info, OptionInfo)

    @property
    def names(self) -> str:
        """What is typed, with the kind of value."""
        if not self.is_option:
            name = self.name.upper() + ("..." if get_origin(self.kind) is list else "")
            return name if self.default is inspect.Parameter.empty else f"[{name}]"
        # Inside `Annotated` typer takes the first declared name for the default.
        first = self.info.default
        declared = [first] if isinstance(first, str) and first.startswith("-") else []
        declared += self.info.param_decls or ()
        names = declared or [f"--{self.name.replace('_', '-')}"]
        text = ", ".join(f"`{name}`" for name in names)
        return text if self.kind is bool else f"{text} `{self.value}`"

    @property
    def value(self) -> str:
        """The kind of value, as users read it."""
        if self.info.metavar:
            text = str(self.info.metavar)
        elif get_origin(self.kind) is Literal:
            text = "|".join(get_args(self.kind))
        else:
            text = _VALUE_NAMES[self.one]
        return text.replace("|", r"\|")

    @property
    def one(self) -> Any:
        """The type of one value where the option can be repeated."""
        return get_args(self.kind)[0] if get_origin(self.kind) is list else self.kind

    @property
    def meaning(self) -> str:
        """Help text and bounds."""
        low, high = self.info.min, self.info.max
        if low is None and high is None:
            bounds = ""
        elif low is None or high is None:
            bounds = f" At least {low}." if high is None else f" At most {high}."
        else:
            bounds = f" From {low} to {high}."
        repeated = " Can be repeated." if self.is_option and self.one is not self.kind else ""
        return _cell(self.info.help) + bounds + repeated

    @property
    def default_text(self) -> str:
        """The default, if it says something."""
        if self.default is inspect.Parameter.empty:
            return "required"
        if self.default is None or self.kind is bool:
            return ""
        if isinstance(self.default, datetime):
            return f"`{self.default:%Y-%m-%d}`"
        return f"`{self.default:g}`" if isinstance(self.default, float) else f"`{self.default}`"


_VALUE_NAMES = {str: "TEXT", int: "NUMBER", float: "NUMBER", Path: "PATH", datetime: "YYYY-MM-DD"}


def command_line() -> str:
    """Every command with its arguments and options, from the typer app."""
    return "\n".join(_app_lines(app, "kappamask"))


def _app_lines(group: typer.Typer, path: str) -> Iterator[str]:
    """An app with its commands; the functions behind them tell everything."""
    registered = group.registered_callback
    callback = None if registered is None else registered.callback
    commands = {
        f"{path} {one.name or one.callback.__name__}": one.callback
        for one in group.registered_commands
        if one.callback is not None
    }
    groups = {
        f"{path} {one.name}": one.typer_instance
        for one in group.registered_groups
        if one.typer_instance is not None
    }
    yield f"## {path}\n"
    yield f"{group.info.help}\n"
    if callback is not None:
        yield f"{_paragraphs(callback.__doc__)}\n"
        yield from _usage_lines(callback, path)
    helps = {name: call.__doc__ for name, call in commands.items()}
    helps |= {name: one.info.help for name, one in groups.items()}
    links = {name: f"[`{name}`](#{_anchor(name)})" for name in helps}
    rows = [(links[name], _first_sentence(text)) for name, text in helps.items()]
    yield from _table(("command", "what it does"), rows)
    for name, call in commands.items():
        yield f"## {name}\n"
        yield f"{_paragraphs(call.__doc__)}\n"
        yield from _usage_lines(call, name)
    for name, one in groups.items():
        yield from _app_lines(one, name)


def _usage_lines(function: Callable[..., Any], path: str) -> Iterator[str]:
    parameters = list(_read_parameters(function))
    arguments = [one for one in parameters if not one.is_option]
    options = [one for one in parameters if one.is_option]
    words = (path, "[OPTIONS]" if options else "", *(one.names for one in arguments))
    yield f"```text\n{' '.join(word for word in words if word)}\n```\n"
    if arguments:
        yield from _table(
            ("argument", "meaning"), [(f"`{one.names}`", one.meaning) for one in arguments]
        )
    if options:
        rows = [(one.names, one.meaning, one.default_text) for one in options]
        yield from _table(("option", "meaning", "default"), rows)


def _read_parameters(function: Callable[..., Any]) -> Iterator[Parameter]:
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        if get_origin(parameter.annotation) is not Annotated:
            continue
        kind, info = get_args(parameter.annotation)
        kinds = [one for one in get_args(kind) if one is not NoneType]
        is_optional = isinstance(kind, UnionType)
        yield Parameter(name, info, kinds[0] if is_optional else kind, parameter.default)


def classes() -> str:
    """Ids, names and colours of the classes."""
    rows = [
        (
            str(int(mask_class)), style.title, f"`{mask_class.stac_name}`",
            _swatch(style.color_hint, style.rgba[3] > 0), style.description,
        )
        for mask_class, style in CLASS_STYLES.items()
    ]  # fmt: skip
    return "\n".join(_table(("id", "class", "name in files", "colour", "meaning"), rows))


def _swatch(color_hint: str, is_opaque: bool) -> str:
    if not is_opaque:
        return '<span class="swatch swatch-transparent"></span> transparent'
    return f'<span class="swatch" style="background: #{color_hint}"></span> `#{color_hint}`'


def error_tree() -> str:
    """All errors with their parents and meanings, from the docstrings."""
    rows = []
    for depth, error in _subclasses(errors.KappamaskError, 0):
        indent = "&emsp;" * depth
        rows.append((f"{indent}`{error.__name__}`", _cell(error.__doc__)))
    return "\n".join(_table(("error", "meaning"), rows))


def _subclasses(error: type[Exception], depth: int) -> Iterator[tuple[int, type[Exception]]]:
    yield depth, error
    for child in error.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _subclasses(child, depth + 1)


def model_cards() -> str:
    """One section for every built-in model."""
    cards = [_model_card(model.spec) for model in load_registry() if model.origin == "built-in"]
    return "\n".join(cards)


def kappamask_cards() -> str:
    """The networks of KappaMask 2, whose files are made when their weights are imported."""
    return "\n".join(_model_card(read_template(level)) for level in ("L1C", "L2A"))


def _model_card(spec: ModelSpec) -> str:
    properties, tiling = spec.item["properties"], spec.tiling
    makers = (f"[{one['name']}]({one['url']})" for one in properties.get("providers", ()))
    overlap_px = tiling.tile_px - tiling.stride_px
    rows = [
        ("made by", ", ".join(makers)),
        ("licence", spec.license),
        ("architecture", properties["mlm:architecture"]),
        ("for", f"Level-{spec.level[1:]}, on a {spec.resolution_m} m grid"),
        ("bands", ", ".join(spec.bands)),
        ("input", f"{spec.input_unit.replace('_', ' ')}, {_bounds(spec.clip)}"),
        ("classes", ", ".join(one.style.title for one in spec.classes)),
        ("not predicted", ", ".join(one.style.title for one in spec.not_predicted) or "none"),
        ("tiles", f"{tiling.tile_px} px, {overlap_px} px overlap, put together by {tiling.stitch}"),
        *_way_rows(properties),
        *_file_rows(spec),
        *(("cite as", f"[{link['title']}]({link['href']})") for link in _citations(spec)),
    ]
    table = "\n".join(_table(("field", "value"), rows))
    return f"## {spec.name}\n\n{properties['description']}\n\n{table}"


def _way_rows(properties: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (f"{kind} `{name}`", entry["description"])
        for kind in ("profile", "tiling")
        for name, entry in properties.get(f"kappamask:{kind}s", {}).items()
    ]


def _file_rows(spec: ModelSpec) -> list[tuple[str, str]]:
    if spec.size_bytes is None:
        return [("file", spec.href)]
    return [
        ("file", f"`{spec.href}`"),
        ("size", f"{spec.size_bytes} bytes"),
        ("sha256", f"`{spec.sha256}`"),
    ]


def _citations(spec: ModelSpec) -> list[Mapping[str, str]]:
    return [link for link in spec.item["links"] if link["rel"] == "cite-as"]


def _bounds(clip: tuple[float | None, float | None]) -> str:
    low, high = clip
    if low is None and high is None:
        return "not clipped"
    if low is None:
        return f"clipped to at most {high:g}"
    return f"clipped to at least {low:g}" if high is None else f"clipped to {low:g} to {high:g}"


def scene_truth() -> str:
    """The optical thicknesses that decide what a simulated pixel is."""
    thick, thin = clouds.CLOUD_MIN_THICKNESS, clouds.SEMI_TRANSPARENT_MIN_THICKNESS
    rows = [
        ("4 cloud", f"both layers together at least {thick:g}, along the line of sight"),
        ("3 semi-transparent cloud", f"at least {thin:g} and less than {thick:g}"),
        (
            "2 cloud shadow",
            f"less than {thin:g}, and towards the sun at least {clouds.SHADOW_MIN_THICKNESS:g}",
        ),
        ("1 clear", "the rest"),
    ]
    return "\n".join(_table(("class", "optical thickness at 550 nm"), rows))


def scene_weather() -> str:
    """The kinds of weather that the dates of the scene go through."""
    rows = [
        (
            weather.name,
            f"{weather.low_height_m:.0f}", f"{weather.low_density:g}",
            f"{weather.high_height_m:.0f}", f"{weather.high_density:g}",
        )
        for weather in clouds.REGIMES
    ]  # fmt: skip
    head = ("weather", "low cloud, height m", "density", "cirrus, height m", "density")
    return "\n".join(_table(head, rows))


def python_api() -> str:
    """What the public modules export, with signatures and first sentences."""
    return "\n".join(line for module in _PUBLIC_MODULES for line in _module_lines(module))


def _module_lines(module: ModuleType) -> Iterator[str]:
    yield f"## {module.__name__}"
    yield ""
    yield _paragraphs(module.__doc__)
    yield ""
    for name in module.__all__:
        member = getattr(module, name)
        call = f"({_parameters(member)})" if inspect.isfunction(member) else ""
        yield f"`{name}{call}`"
        yield f":   {_first_sentence(member.__doc__)}"
        yield ""


def _parameters(function: Callable[..., Any]) -> str:
    """Names of the parameters; those that may be left out have a `=`."""
    parts: list[str] = []
    for name, parameter in inspect.signature(function).parameters.items():
        is_keyword = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        if is_keyword and "*" not in parts:
            parts.append("*")
        has_default = parameter.default is not inspect.Parameter.empty
        parts.append(f"{name}={parameter.default!r}" if has_default else name)
    return ", ".join(parts)


def stac_api_errors() -> str:
    """Status and code of every error of the STAC API."""
    known = [
        (str(status), f"`{code}`", _cell(error.__doc__))
        for error, status, code in api_errors.ERRORS
    ]
    router = [
        ("404", "`NotFound`", "There is nothing at this address."),
        ("405", "`MethodNotAllowed`", "The address does not know the method."),
        ("500", "`Internal`", "The service failed; its operator finds the id in the log."),
    ]
    return "\n".join(_table(("status", "code", "meaning"), sorted([*known, *router])))


def stac_api_settings() -> str:
    """The environment variables of the STAC API."""
    return _settings_table((StacApiSettings, ServeSettings))


def changelog() -> str:
    """CHANGELOG.md without its title."""
    return _without_title(ROOT / "CHANGELOG.md")


def contributing() -> str:
    """CONTRIBUTING.md without its title."""
    return _without_title(ROOT / "CONTRIBUTING.md")


def _without_title(path: Path) -> str:
    return path.read_text(encoding="utf-8").split("\n", 1)[1]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", r"\|")


def _paragraphs(text: str | None) -> str:
    return inspect.cleandoc(text or "")


def _first_sentence(text: str | None) -> str:
    paragraph = inspect.cleandoc(text or "").split("\n\n")[0]
    first = re.split(r"(?<=[\w`)])\.(?:\s|$)", paragraph)[0]
    return f"{_cell(first)}."


def _anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def settings() -> str:
    """The environment variables of store and storage."""
    return _settings_table((DataSettings, StacSettings, StorageSettings))


def _settings_table(groups: Iterable[type[BaseSettings]]) -> str:
    """Every setting with what it means, from the classes that read them."""
    rows = []
    for group in groups:
        prefix = group.model_config.get("env_prefix", "")
        for name, field in group.model_fields.items():
            default = field.default if field.default_factory is None else None
            shown = "" if default in (None, PydanticUndefined) else f"`{default}`"
            rows.append((f"`{prefix}{name.upper()}`", _cell(field.description), shown))
    return "\n".join(_table(("variable", "meaning", "default"), rows))


GENERATORS: dict[str, Callable[[], str]] = {
    "command-line": command_line,
    "classes": classes,
    "errors": error_tree,
    "model-cards": model_cards,
    "stac-api-errors": stac_api_errors,
    "stac-api-settings": stac_api_settings,
    "kappamask-cards": kappamask_cards,
    "scene-truth": scene_truth,
    "settings": settings,
    "scene-weather": scene_weather,
    "python": python_api,
    "changelog": changelog,
    "contributing": contributing,
}
