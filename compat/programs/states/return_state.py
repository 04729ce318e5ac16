"""The state of a flow instead of its result."""

from prefect import flow


@flow
def main():
    return 3


s = main(return_state=True)
print(s.type.value, s.name, s.result(), s.is_completed(), s.is_final())
