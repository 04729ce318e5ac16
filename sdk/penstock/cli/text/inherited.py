"""What a Flow inherits, field by field, and from where. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from penstock.cli.text.console import Text
from penstock.cli.text.description import heading, value_text
from penstock.drawing.task_rows import Object

SOURCES: Final = {"namespace": "FlowDefaults default", "installation": "the installation"}
OWN_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "queueTimeout": ("defaults", "queueTimeout"),
    "timeout": ("defaults", "timeout"),
    "runTimeout": ("timeout",),
    "retry": ("defaults", "retry"),
    "podRetention": ("podRetention",),
    "retention": ("retention",),
}
"""Where a Flow itself has what it may inherit."""
PARTS: Final = frozenset({"retry", "podRetention", "retention"})
"""Fields that are inherited one by one."""


class InheritedField(NamedTuple):
    """A field that a Flow has from elsewhere."""

    name: str
    value: Any
    source: str


def find_inherited(spec: Object, inherited: Object) -> Iterator[InheritedField]:
    """Find what a Flow has from elsewhere.

    Args:
        spec: of the Flow, as it is stored.
        inherited: the specs of the defaults by `namespace` and `installation`.
    """
    taken = {"finally." + each["name"] for each in (*spec["tasks"], *(spec.get("finally") or ()))}
    for name, path in OWN_PATHS.items():
        own: Any = spec
        for part in path:
            own = (own or {}).get(part)
        if own is not None:
            taken |= {f"{name}.{part}" for part in own} if name in PARTS else {name}
    for layer, source in SOURCES.items():
        for name, value in _fields(inherited.get(layer) or {}):
            # Pod templates of all sources apply, one after the other.
            if name not in taken or name == "podTemplate":
                taken.add(name)
                yield InheritedField(name, value, source)


def inherited_section(spec: Object, inherited: Object) -> Iterator[Text]:
    """Describe what a Flow inherits; nothing if it inherits nothing."""
    found = list(find_inherited(spec, inherited))
    if not found:
        return
    yield from heading("Inherited")
    shown = [(f"{each.name}: {_short(each)}", each.source) for each in found]
    width = max(len(text) for text, _ in shown)
    yield from (Text(f"  {text:<{width}}  {source}") for text, source in shown)


def _fields(defaults: Object) -> Iterator[tuple[str, Any]]:
    for name, value in defaults.items():
        if name == "finally":
            yield from ((f"finally.{task['name']}", task.get("image", "")) for task in value)
        elif name in PARTS:
            yield from ((f"{name}.{part}", one) for part, one in value.items())
        else:
            yield name, value


def _short(each: InheritedField) -> str:
    return each.value if isinstance(each.value, str) else value_text(each.value)
