"""A child flow for each item."""

from prefect import flow


@flow(flow_run_name="day-{d}")
def child(d: str):
    return d.upper()


@flow
def main(days: list[str]):
    return [child(d) for d in days]


print(main(["a", "b"]))
