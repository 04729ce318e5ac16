"""The state of a flow that raised."""

from prefect import flow


@flow
def main():
    raise ValueError("broken")


s = main(return_state=True)
print(s.type.value, s.message)
try:
    s.result()
except ValueError as e:
    print("ValueError", e)
