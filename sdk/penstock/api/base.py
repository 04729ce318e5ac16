"""What every API model shares: how its fields are spelled, and the field types used in several kinds."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from penstock.api.duration import DURATION_PATTERN

JsonValue = Any
"""A value of a user's: any JSON. Left untyped in the schema on purpose."""

TaskName = Annotated[str, Field(max_length=63, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")]
"""A task's name is part of its Pods' names and labels, hence a DNS label that starts with a letter."""
Identifier = Annotated[str, Field(max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""Names that expressions use: params, outputs, matrix axes."""
ObjectName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
Duration = Annotated[str, Field(max_length=32, pattern=DURATION_PATTERN)]
Percentage = Annotated[str, Field(max_length=4, pattern=r"^(100|[0-9]{1,2})%$")]
Text = Annotated[str, Field(max_length=32768)]
ShortText = Annotated[str, Field(max_length=1024)]
Expression = Annotated[str, Field(max_length=4096)]


class ApiModel(BaseModel):
    """A part of a Penstock object, spelled in camelCase outside and snake_case inside."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )
