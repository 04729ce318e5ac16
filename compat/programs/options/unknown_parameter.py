"""A call with an argument that the function does not have."""

from prefect import flow


@flow
def main(a: int):
    return a


try:
    main(1, b=2)
except Exception as e:
    print(
        type(e).__name__ in ("SignatureMismatchError", "ParameterBindError", "ParameterError"), isinstance(e, TypeError)
    )
