"""Arguments of calls: how parameters of flows are converted, and where futures are found."""

import dataclasses
from collections import OrderedDict, defaultdict
from typing import Annotated, Any, NewType, Optional

import pydantic
import pytest
from pydantic import v1
from typing_extensions import TypedDict

from penstock import flow, task
from penstock.errors import ParameterError


class Model(pydantic.BaseModel):
    a: int = 1


class Old(v1.BaseModel):
    a: int = 1


@dataclasses.dataclass
class Record:
    a: int


class Typed(TypedDict):
    a: int


class Holder(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", frozen=True)

    x: Any
    _private: Any = None


@dataclasses.dataclass
class Box:
    x: Any


@task
def five():
    return 5


@task
def same(value):
    return value


@pytest.mark.parametrize(
    ("annotation", "given", "want"),
    [
        (Annotated[Model, pydantic.Field(description="settings")], {"a": "2"}, Model(a=2)),
        (Annotated[Record, "settings"], {"a": "2"}, Record(2)),
        (Typed, {"a": "2"}, {"a": 2}),
        (Annotated[Typed, "settings"], {"a": "2"}, {"a": 2}),
        (Annotated[Optional[Model], "settings"], None, None),  # noqa: UP045 - another type than Model | None
        (NewType("Settings", Model), {"a": "2"}, Model(a=2)),
        (Old, {"a": "2"}, Old(a=2)),
        (Old, Old(a=2), Old(a=2)),
        (list[Old], [{"a": "2"}], [Old(a=2)]),
        (Old | None, None, None),
    ],
)
def test_parameters_are_converted_whatever_is_around_their_models(annotation, given, want):
    def settings(x):
        return x

    settings.__annotations__ = {"x": annotation}
    assert flow(settings)(given) == want


def test_a_default_can_be_a_field_of_pydantic():
    @flow
    def settings(
        a: int = pydantic.Field(default=5, gt=3),
        b: list[int] = pydantic.Field(default_factory=list),  # noqa: B008 - as above
    ):
        return a, b

    assert settings() == (5, [])
    assert settings("6", ["1"]) == (6, [1])
    with pytest.raises(ParameterError, match="a: Input should be greater than 3"):
        settings(2)


def test_a_field_without_a_default_must_be_given():
    @flow
    def settings(a: int = pydantic.Field(gt=3)):
        return a

    assert settings(4) == 4
    with pytest.raises(ParameterError, match="a: "):
        settings()


@pytest.mark.parametrize("annotation", [Annotated[Model, "settings"], Old, Typed])
def test_a_value_that_does_not_fit_is_named_with_its_path(annotation):
    def settings(x):
        return x

    settings.__annotations__ = {"x": annotation}
    with pytest.raises(ParameterError, match=r"invalid parameters: x\.a: .*valid integer"):
        flow(settings)({"a": "much"})


@pytest.mark.parametrize(
    ("wrap", "want"),
    [
        pytest.param(lambda future: Holder(x=future), Holder(x=5), id="a model"),
        pytest.param(
            lambda future: Holder.model_validate({"x": 1, "y": [future]}),
            Holder.model_validate({"x": 1, "y": [5]}),
            id="a further field",
        ),
        pytest.param(lambda future: Holder(x=Box(future)), Holder(x=Box(5)), id="a dataclass in a model"),
        pytest.param(lambda future: {future: future}, {5: 5}, id="a key"),
        pytest.param(lambda future: OrderedDict(a=future), OrderedDict(a=5), id="an ordered dictionary"),
        pytest.param(lambda future: defaultdict(int, a=future), defaultdict(int, a=5), id="one with a default"),
    ],
)
def test_futures_are_found_in_models_and_dictionaries_which_keep_their_types(wrap, want):
    @flow
    def inner(value):
        return value

    @flow
    def outer():
        before = wrap(five.submit())
        return [same(before), same.submit(before).result(), inner(before)]

    found = outer()

    assert found == [want] * 3
    assert [type(each) for each in found] == [type(want)] * 3


def test_a_private_attribute_of_a_model_can_be_a_future():
    @flow
    def outer():
        holder = Holder(x=1)
        holder._private = five.submit()
        return same(holder)._private

    assert outer() == 5


def test_a_model_without_futures_is_passed_as_it_is():
    holder = Holder(x=[1])

    @flow
    def outer():
        return same(holder) is holder

    assert outer()


def test_a_task_does_not_start_if_a_future_in_a_model_failed():
    @task
    def fails():
        raise ValueError("no")

    @flow
    def outer():
        return same(Holder(x=fails.submit()), return_state=True).name

    assert outer() == "Skipped"


def test_a_field_with_the_default_none_may_be_none():
    @flow
    def etl(
        a: int = pydantic.Field(None),  # type: ignore[assignment]  # what is tested
        b: int = pydantic.Field(default_factory=lambda: None),  # type: ignore[assignment]  # as above
        c: int = pydantic.Field(None),  # type: ignore[assignment]  # as above
    ):
        return a, b, c

    assert etl(c=None) == (None, None, None)
    assert etl(a="1", b=2) == (1, 2, None)
    with pytest.raises(ParameterError, match="a: Input should be a valid integer"):
        etl(a="x")
