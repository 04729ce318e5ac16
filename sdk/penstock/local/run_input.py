"""Inputs of people, as pydantic models."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Self, cast

import pydantic

from penstock.authoring.prefect.not_offered import refuse_methods
from penstock.authoring.prefect.prefect_names import NAMES

_ADVICE: Final = NAMES["input"]["*"]


@refuse_methods(
    "inputs", dict.fromkeys(("send_to", "asend_to", "receive", "respond", "arespond", "load", "save"), _ADVICE)
)
class RunInput(pydantic.BaseModel):
    """What a person enters: `pause_flow_run(wait_for_input=Approval)` asks for the fields of a class of yours."""

    model_config = pydantic.ConfigDict(extra="forbid")

    _description: ClassVar[str | None] = None

    @classmethod
    def with_initial_data(cls, description: str | None = None, **values: Any) -> type[Self]:
        """Return the class with a text to show, and with defaults of its fields."""
        fields: dict[str, Any] = {name: (cls.model_fields[name].annotation, value) for name, value in values.items()}
        made = cast("type[Self]", pydantic.create_model(cls.__name__, __base__=cls, **fields))
        setattr(made, "_description", description)  # noqa: B010 - Prefect's name, of a class of this module
        return made
