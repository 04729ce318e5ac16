"""States made of their types."""

from prefect.client.schemas.objects import State, StateType

s = State(type=StateType.FAILED, message="x")
print(s.name, s.type.value, s.is_failed(), s.message)
