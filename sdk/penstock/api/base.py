"""What every API model shares: how its fields are spelled, and the field types used in several kinds.

Every string, list and map has a maximum: the API server estimates the worst-case cost of each validation rule, and
rejects a CRD whose rules could cost too much.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler, ValidationInfo
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from penstock.api.duration import DURATION_PATTERN, LONGEST, is_too_long
from penstock.api.marker import Rule

MAX_LABELS = 64
FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 9998
"""Of times: in any zone, and with any duration before or after them, they are in the calendar of `datetime`."""
AS_STORED: Final = {"is_stored": True}
"""Validation context of a spec that a run has begun with: what is out of range in it is limited where it is used."""


def _check_duration(text: str, info: ValidationInfo) -> str:
    if is_too_long(text) and info.context != AS_STORED:
        raise ValueError(f"must be at most {LONGEST} (ten years)")
    return text


def check_year(text: str, info: ValidationInfo) -> str:
    """Refuse a time of a year that cannot be calculated with; that it is a time at all is checked elsewhere."""
    year = text[:4]
    if year.isdecimal() and not FIRST_YEAR <= int(year) <= LAST_YEAR and info.context != AS_STORED:
        raise ValueError(f"must be between the years {FIRST_YEAR} and {LAST_YEAR}")
    return text


JsonValue = Any
"""A user's value: any JSON. Left untyped in the schema on purpose."""

TaskName = Annotated[str, Field(max_length=63, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")]
"""A task's name is part of its Pods' names and labels, hence a DNS label that starts with a letter."""
Identifier = Annotated[str, Field(max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""Names that expressions use: params, outputs, matrix axes."""
ObjectName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
Duration = Annotated[str, Field(max_length=32, pattern=DURATION_PATTERN), AfterValidator(_check_duration)]
DurationOrNever = Annotated[
    str, Field(max_length=32, pattern=rf"{DURATION_PATTERN}|^Never$"), AfterValidator(_check_duration)
]
Percentage = Annotated[str, Field(max_length=4, pattern=r"^(100|[0-9]{1,2})%$")]
Text = Annotated[str, Field(max_length=32768)]
ShortText = Annotated[str, Field(max_length=1024)]
Image = Annotated[str, Field(min_length=1, max_length=1024)]
Expression = Annotated[str, Field(max_length=4096)]
DnsName = Annotated[str, Field(min_length=1, max_length=253)]
"""Name of an object of a kind outside Penstock: that kind checks the rest."""
UserName = Annotated[str, Field(min_length=1, max_length=256)]
"""Name of a user or a group, as the API server has it."""
Count = Annotated[int, Field(ge=0)]
Quantity = int | Annotated[str, Field(max_length=64)]
"""An amount of a resource, as in a Pod: `500m`, `1Gi`, `2`."""
Time = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"}), AfterValidator(check_year)]
"""RFC 3339."""
PodPart = Annotated[dict[str, Any], Field(max_length=64)]
"""A part of a Pod. The Pod schema is half a megabyte, so the API server checks the part when a Pod is created."""


class ApiModel(BaseModel):
    """A part of a Penstock object, spelled in camelCase outside and snake_case inside."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    """Rules that the API server checks wherever such a part occurs. The models do not: the engine explains better."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return pydantic's own schema and the rules."""
        schema = handler(core_schema)
        if cls.rules:
            handler.resolve_ref_schema(schema)["x-kubernetes-validations"] = [rule.to_schema() for rule in cls.rules]
        return schema
