"""What hooks call of runs and states beside reading them: the methods that Prefect's objects have from pydantic."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

from penstock.errors import OptionError


class Dumped:
    """An object whose fields can be read together and changed in a copy."""

    __slots__ = ()

    _fields: tuple[str, ...] = ()
    """The names of the fields, which are attributes, in the order of Prefect's."""

    def model_dump(
        self,
        *,
        mode: str = "python",
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
        exclude_none: bool = False,
        **_: Any,
    ) -> dict[str, Any]:
        """Return the fields by name.

        Args:
            mode: "json" converts the values to those of JSON: what JSON does not have becomes text, durations seconds.
            include: only these fields.
            exclude: all but these fields.
            exclude_none: leave out fields that are None.
            **_: pydantic's other options, which change nothing here.
        """
        found = {
            name: _plain(getattr(self, name))
            for name in self._fields
            if (include is None or name in include) and (exclude is None or name not in exclude)
        }
        if exclude_none:
            found = {name: value for name, value in found.items() if value is not None}
        if mode != "json":
            return found
        from pydantic_core import to_jsonable_python  # noqa: PLC0415 - few hooks dump runs

        made: dict[str, Any] = to_jsonable_python(found, timedelta_mode="float", serialize_unknown=True)
        return made

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        """Return the fields as JSON; options are those of `model_dump`."""
        separators = (",", ":") if indent is None else None
        return json.dumps(
            self.model_dump(**{**options, "mode": "json"}), indent=indent, separators=separators, ensure_ascii=False
        )

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some attributes changed.

        Args:
            update: the attributes.
            deep: copy lists and dictionaries in it too.

        Raises:
            OptionError: there is no such attribute, or it follows from others.
        """
        copied = copy.deepcopy(self) if deep else copy.copy(self)
        for name, value in (update or {}).items():
            try:
                setattr(copied, name, value)
            except AttributeError:
                raise OptionError(
                    f"model_copy(update={{{name!r}: ...}}): a {type(self).__name__} has no attribute of this name that"
                    " can be set"
                ) from None
        return copied


def _plain(value: Any) -> Any:
    if isinstance(value, Dumped):
        return value.model_dump()
    return dict(vars(value)) if isinstance(value, SimpleNamespace) else value


if not TYPE_CHECKING:  # pydantic's older names, which annotations in the class would mean otherwise
    Dumped.dict, Dumped.json, Dumped.copy = Dumped.model_dump, Dumped.model_dump_json, Dumped.model_copy
