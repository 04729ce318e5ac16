"""Arguments of a call, decoded from its templates and values."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from penstock.authoring.function import FlowFunction
from penstock.authoring.pods.pod_call import MARK
from penstock.errors import (
    CancelledRunError,
    CrashedRunError,
    FailedRunError,
    MappingLengthMismatchError,
    ParameterError,
    ResultError,
    RunTimedOutError,
    UpstreamFailedError,
)
from penstock.runner.results import decode
from penstock.runner.storage import NotStoredError, fetch, storage

Template = Any
COMPLETED: Final = frozenset({"Completed", "Cached"})
_ERRORS: Final = {
    "TimedOut": RunTimedOutError,
    "Cancelled": CancelledRunError,
    "Crashed": CrashedRunError,
    "Skipped": UpstreamFailedError,
}


class Decoder:
    """Decodes templates to arguments.

    Args:
        values: the values of the slots.
        run: id of the run.
        flow: returns the flow, for the types of params.
    """

    def __init__(self, values: Sequence[Any], run: str, flow: Callable[[], FlowFunction]) -> None:
        self._values = values
        self._run = run
        self._flow = flow
        self._kinds: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
            "value": self._value,
            "param": self._param,
            "result": lambda template: _at(decode(self._values[template["slot"]]), template),
            "outcome": self._outcome,
            "results": self._results,
            "item": self._item,
            "element": self._element,
            "operation": self._operation,
            "pick": lambda template: self.decode_template(template["items"][self._values[template["index"]]]),
            "tuple": lambda template: tuple(self.decode_template(template["items"])),
            "pairs": lambda template: dict(zip(*map(self.decode_template, template["items"]), strict=True)),
            "pickle": self._literal,
        }

    def decode_template(self, template: Template) -> Any:
        """Return the value of a template."""
        if isinstance(template, list):
            return [self.decode_template(each) for each in template]
        if not isinstance(template, dict):
            return template
        if MARK in template:
            return self._kinds[template[MARK]](template)
        return {key: self.decode_template(each) for key, each in template.items()}

    def check_lengths(self, pairs: Sequence[Sequence[int]]) -> None:
        """Refuse mapped arguments of different lengths.

        Raises:
            MappingLengthMismatchError: their lengths differ.
        """
        for one, other in pairs:
            if self._values[one] != self._values[other]:
                raise MappingLengthMismatchError(
                    f"map() needs iterables of one length, but one has {self._values[one]} items and another"
                    f" {self._values[other]}: wrap one in unmapped(...)"
                )

    def _value(self, template: Mapping[str, Any]) -> Any:
        value = self._values[template["slot"]]
        if value is None:
            return None
        value = _at(value, template)
        if "type" in template and type(value).__name__ != template["type"]:
            return _converted(value, template["type"])
        if "elements" in template and any(type(each).__name__ != template["elements"] for each in value):
            return [_converted(each, template["elements"]) for each in value]
        return value

    def _literal(self, template: Mapping[str, Any]) -> Any:
        import pickle  # noqa: PLC0415 - most arguments are JSON

        script = self._flow().fn.__module__

        class Unpickler(pickle.Unpickler):
            """Finds the classes of a script that compiled itself."""

            def find_class(self, module: str, name: str) -> Any:
                return super().find_class(script if module == "__main__" else module, name)

        # Safe: the author of the manifest chooses the code that runs.
        return Unpickler(io.BytesIO(base64.b64decode(template["data"]))).load()

    def _param(self, template: Mapping[str, Any]) -> Any:
        value = self._values[template["slot"]]
        if value is None:
            return None  # not given, which is allowed for params with the default None
        flow, name = self._flow(), template["name"]
        annotation = flow.signature.parameters[name].annotation
        if annotation in {float, "float"} and type(value) is int:
            value = float(value)
        elif flow.options.validate_parameters:
            from penstock.local.lifecycle.validation import validate_parameters  # noqa: PLC0415 - params of plain types need none

            value = validate_parameters(flow, {name: value})[name]
        return _at(value, template)

    def _outcome(self, template: Mapping[str, Any]) -> Any:
        state = self._values[template["state"]]
        if state in COMPLETED:
            return _at(decode(self._values[template["slot"]]), template)
        return _error(template["task"], state)

    def _results(self, template: Mapping[str, Any]) -> Any:
        outputs, total = self._values[template["slot"]], int(self._values[template["count"]])
        if outputs is None:
            if "state" in template and self._values[template["state"]] not in COMPLETED:
                return _error(template["task"], self._values[template["state"]])
            outputs = [self._kept(template["task"], index) for index in range(total)]
        return [self._of_item(each, index, template) for index, each in enumerate(outputs)]

    def _item(self, template: Mapping[str, Any]) -> Any:
        index = self._values[template["index"]]
        outputs = self._values[template["slot"]]
        if outputs is None and not self._values[template["kept"]]:
            outputs = self._kept(template["task"], index)
        return self._of_item(outputs, index, template)

    def _of_item(self, outputs: Any, index: int, template: Mapping[str, Any]) -> Any:
        if outputs is not None:
            return _at(decode(outputs), template)
        error = UpstreamFailedError(f"item {index} of task {template['task']!r} did not complete")
        if "state" in template:
            return error
        raise error

    def _kept(self, task: str, index: int) -> Any:
        """Return the stored outputs of an item, if those of all items are too big for the status of the run."""
        place = kept_place(self._run, task, index)
        where = storage()
        if where is None:
            raise ResultError(
                f"the results of the items of {task!r} are too large in total for the run's status: set a storage on"
                " the flow (@flow(storage='s3://bucket/prefix') or @flow(workspace={'size': '1Gi'}))"
            )
        try:
            return json.loads(fetch(where.url(place)))
        except NotStoredError:
            return None  # it failed, so there is no result

    def _operation(self, template: Mapping[str, Any]) -> Any:
        from penstock.authoring.pods.pod_operations import OPERATIONS  # noqa: PLC0415 - few arguments are calculated

        return OPERATIONS[template["name"]](*map(self.decode_template, template["of"]))

    def _element(self, template: Mapping[str, Any]) -> Any:
        whole, index = self.decode_template(template["of"]), self._values[template["index"]]
        if isinstance(whole, str | bytes | Mapping) or not hasattr(whole, "__iter__"):
            raise ParameterError(
                f"map() got a {type(whole).__name__} where it needs a list: annotate what the task returns, or mark the"
                " argument as unmapped(...)"
            )
        return list(whole)[index]


def kept_place(run: str, task: str, index: int) -> str:
    """Return the place of an item's outputs in the storage."""
    return f"runs/{run}/{task}/{index}.json"


def _at(value: Any, template: Mapping[str, Any]) -> Any:
    for step in template.get("path", ()):
        value = value[step]
    return value


def _converted(value: Any, kind: str) -> Any:
    import pydantic  # noqa: PLC0415 - what has the right type needs no conversion

    types: dict[str, type[Any]] = {"str": str, "int": int, "bool": bool}
    try:
        return pydantic.TypeAdapter(types[kind]).validate_python(value)
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        raise ParameterError(f"Flow run received invalid parameters: {problem['msg']} (got {value!r})") from error


def _error(task: str, state: str) -> Exception:
    return _ERRORS.get(state, FailedRunError)(f"task {task!r} is {state}")
