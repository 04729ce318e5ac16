"""Fingerprints: what differs never has the same one, and what is made twice alike has."""

import abc
import collections
import enum
import functools
import importlib
import sys
import threading
import time
import types
import typing
from collections import defaultdict
from dataclasses import dataclass, field

import pytest
from pydantic import BaseModel, Field

from penstock import task
from penstock.authoring.caching.fingerprint import fingerprint
from penstock.cache_policies import INPUTS
from penstock.errors import ResultError


class Labelled(list[int]):
    __slots__ = ("label",)


class Table(dict[str, int]):
    __slots__ = ("label",)


class Base:
    __slots__ = ("label",)


@dataclass
class Row(Base):
    number: int = 0


def labelled(value, label):
    value.label = label
    return value


class Content:
    def __init__(self, content):
        self.content = content

    def __get__(self, instance, owner):
        return self.content


def class_with_private_attribute(n):
    class Local:
        _n = n

    return Local


def class_with_descriptor(n):
    class Local:
        _n = Content(n)

    return Local


def class_with_setter(n):
    class Local:
        @property
        def x(self):
            return 0

        @x.setter
        def x(self, value):
            self.y = value * n

    return Local


def class_with_metaclass(n):
    class Meta(type):
        def number(cls):
            return n

    class Local(metaclass=Meta):
        pass

    return Local


def model_with_default(n):
    class Local(BaseModel):
        x: int = Field(default=n)

    return Local


def colours(value):
    class Colour(enum.Enum):
        RED = value

    return Colour


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(defaultdict(int), defaultdict(list), id="defaults of dictionaries"),
        pytest.param(labelled(Labelled([1]), 1), labelled(Labelled([1]), 2), id="slots of a list"),
        pytest.param(labelled(Table(a=1), 1), labelled(Table(a=1), 2), id="slots of a dictionary"),
        pytest.param(labelled(Row(), 1), labelled(Row(), 2), id="slots of a dataclass"),
        pytest.param(labelled(Row(), 1), Row(), id="a slot that is not set"),
        pytest.param(
            time.struct_time(range(11), {"tm_gmtoff": 1}), time.struct_time(range(9)), id="what a tuple does not show"
        ),
        pytest.param(class_with_private_attribute(1), class_with_private_attribute(2), id="private attributes"),
        pytest.param(
            class_with_private_attribute(1)(), class_with_private_attribute(2)(), id="objects of such classes"
        ),
        pytest.param(class_with_descriptor(1), class_with_descriptor(2), id="descriptors"),
        pytest.param(class_with_setter(1), class_with_setter(2), id="setters"),
        pytest.param(class_with_metaclass(1), class_with_metaclass(2), id="metaclasses"),
        pytest.param(model_with_default(1), model_with_default(2), id="fields of models"),
        pytest.param(colours("red"), colours("rouge"), id="values of enums"),
    ],
)
def test_what_differs_in_a_part_that_does_not_show_has_another_fingerprint(one, other):
    assert fingerprint(one) != fingerprint(other)


def double(x):
    return 2 * x


PAIR = (1, 2)
TABLE = {"k": 1}
PARTIAL = functools.partial(double, 1)
LOCK = threading.Lock()
settings = types.ModuleType("penstock_test_settings")


class Config:
    k = 1
    _hidden = 1

    def get(self):
        return self.k

    def __call__(self, x):
        return self.k * x

    @classmethod
    def of_class(cls):
        return cls.k


CONFIG = Config()


@functools.cache
def cached(x):
    return double(x)


def uses_pair(x):
    return x + PAIR[0]


def uses_table(x):
    return x + TABLE["k"]


def uses_partial(x):
    return x + PARTIAL()


def uses_class(x):
    return x + Config.k


def uses_object(x):
    return x + CONFIG.get()


def uses_cached(x):
    return cached(x)


def uses_module(x):
    return x + settings.K


def imports_module(x):
    import penstock_test_settings  # type: ignore[import-not-found]  # noqa: PLC0415 - the test has written it

    return x + penstock_test_settings.K


def uses_lock(x):
    with LOCK:
        return x


HERE = sys.modules[__name__]


@pytest.fixture
def own_settings(monkeypatch, tmp_path):
    """A module of the user's that is imported."""
    (tmp_path / "penstock_test_settings.py").write_text("K = 1\nOTHER = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("penstock_test_settings")
    monkeypatch.setattr(HERE, "settings", module)
    yield module
    del sys.modules["penstock_test_settings"]


@pytest.mark.parametrize(
    ("value", "change"),
    [
        pytest.param(uses_pair, ("PAIR", (2, 2)), id="a tuple"),
        pytest.param(uses_table, ("TABLE", {"k": 2}), id="a dictionary"),
        pytest.param(uses_partial, ("PARTIAL", functools.partial(double, 2)), id="a partial"),
        pytest.param(uses_class, ("Config.k", 2), id="a class attribute"),
        pytest.param(uses_object, ("Config.k", 2), id="the class of an object"),
        pytest.param(uses_cached, ("double", lambda x: x), id="a function behind a cache"),
        pytest.param(uses_module, ("settings.K", 2), id="an attribute of a module"),
        pytest.param(imports_module, ("settings.K", 2), id="a module that it imports"),
        pytest.param(Config().get, ("Config.k", 2), id="the class of a method's object"),
        pytest.param(Config.of_class, ("Config.k", 2), id="the class of a class method"),
        pytest.param(CONFIG, ("Config._hidden", 2), id="the class of an object that is called"),
        pytest.param(Config, ("Config.k", 2), id="a class"),
    ],
)
@pytest.mark.usefixtures("own_settings")
def test_a_function_has_another_fingerprint_when_what_it_uses_changes(value, change, monkeypatch):
    before = fingerprint(value)
    assert fingerprint(value) == before
    monkeypatch.setattr(f"{__name__}.{change[0]}", change[1])
    changed = fingerprint(value)
    monkeypatch.undo()
    assert changed != before


@pytest.mark.usefixtures("own_settings")
@pytest.mark.parametrize("change", ["TABLE", "settings.OTHER"])
def test_what_a_function_does_not_use_does_not_count(change, monkeypatch):
    before = fingerprint(uses_module)
    monkeypatch.setattr(f"{__name__}.{change}", 99)
    assert fingerprint(uses_module) == before


def test_a_function_that_uses_what_cannot_be_distinguished_is_not_cached():
    with pytest.raises(ResultError, match="'LOCK' is a lock"):
        fingerprint(uses_lock)


def test_a_result_is_computed_again_when_what_its_function_uses_has_changed(monkeypatch):
    @task(cache_policy=INPUTS, persist_result=True)
    def apply(fn, x):
        return fn(x)

    first = apply(uses_table, 10)
    monkeypatch.setitem(TABLE, "k", 2)
    assert [first, apply(uses_table, 10)] == [11, 12]


def test_a_task_inside_of_a_function_is_the_same_when_data_of_its_module_changes(monkeypatch):
    def apply():
        @task(cache_policy=INPUTS, persist_result=True)
        def add(x):
            return x + TABLE["k"]

        return add(10)

    first = apply()
    monkeypatch.setitem(TABLE, "k", 2)
    # As for a task at module level, whose name identifies it.
    assert [first, apply()] == [11, 11]


T = typing.TypeVar("T")


def make_model():
    class Local(BaseModel):
        x: int = 1
        items: list[int] = Field(default_factory=list)

    return Local


def make_dataclass():
    @dataclass(slots=True)
    class Local:
        x: int = field(default=1, metadata={"unit": "m"})
        items: list[int] = field(default_factory=list)

    return Local


def make_enum():
    return colours("red")


def make_abstract():
    class Local(abc.ABC):
        @abc.abstractmethod
        def get(self):
            return super().__init__()

    return Local


def make_generic():
    class Local(typing.Generic[T]):
        def get(self, x: T) -> T:
            return x

    return Local


def make_named_tuple():
    class Local(typing.NamedTuple):
        x: int = 1

    return Local


def make_cached_property():
    class Local:
        @functools.cached_property
        def x(self):
            return types.SimpleNamespace

    return Local


@pytest.mark.parametrize(
    "make",
    [
        make_model,
        make_dataclass,
        make_enum,
        make_abstract,
        make_generic,
        make_named_tuple,
        make_cached_property,
        lambda: make_model()(x=2),
        lambda: make_dataclass()(2),
        lambda: make_named_tuple()(2),
        lambda: Content(class_with_private_attribute(1)()),
        lambda: defaultdict(list, a=[1]),
        lambda: collections.Counter("ab"),
        lambda: collections.deque([1], 3),
        lambda: labelled(Labelled([1]), 1),
        lambda: labelled(Row(), 1),
    ],
)
def test_what_is_made_twice_alike_has_the_same_fingerprint(make):
    assert fingerprint(make()) == fingerprint(make())
