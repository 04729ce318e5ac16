"""A class of inputs of a person."""

from prefect.input import RunInput


class Approval(RunInput):
    reason: str
    ok: bool = False


a = Approval(reason="r")
print(a.reason, a.ok)
b = Approval.with_initial_data(description="Please", reason="given")
print(issubclass(b, Approval))
