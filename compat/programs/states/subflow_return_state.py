"""The state of a child flow."""

from prefect import flow


@flow
def child():
    raise ValueError("c")


@flow
def main():
    s = child(return_state=True)
    return s.type.value, s.message


print(main())
