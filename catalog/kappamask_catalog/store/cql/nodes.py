"""Reading the nodes of CQL2 JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from kappamask_udf.errors import InvalidQueryError


def arguments(node: Mapping[str, Any], *, exactly: int = 0, at_least: int = 0) -> Sequence[Any]:
    """The arguments of an operator. Raises `InvalidQueryError` if there are more or fewer."""
    found: Any = node.get("args")
    if not is_list(found):
        raise InvalidQueryError(f"{node['op']} has no list of arguments under args")
    if (exactly and len(found) != exactly) or len(found) < at_least:
        wanted = exactly or f"at least {at_least}"
        raise InvalidQueryError(f"{node['op']} takes {wanted} arguments, found {len(found)}")
    return list(found)


def is_list(value: Any) -> bool:
    """Whether a value was a JSON array."""
    return isinstance(value, list | tuple)


def property_name(node: Any) -> str | None:
    """The name if a node is a property. Raises `InvalidQueryError` if the name is no text."""
    if not isinstance(node, Mapping) or "property" not in node:
        return None
    name = node["property"]
    if not isinstance(name, str):
        raise InvalidQueryError(f"the name of a property is a text, found {shown(name)}")
    return name


def shown(node: Any) -> str:
    """A node for a message, cut to a line."""
    text = repr(node)
    return text if len(text) <= 80 else text[:77] + "..."
