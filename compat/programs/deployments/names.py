"""Deployments made without a server."""

from datetime import timedelta
from prefect import flow
from prefect.schedules import Cron, Interval


@flow
def main(x: int = 1): ...


d = main.to_deployment(name="nightly", cron="0 3 * * *", parameters={"x": 2}, tags=["a"])
e = main.to_deployment("every", schedule=Interval(timedelta(minutes=10), timezone="Europe/Oslo"))
print(d.name, d.parameters, e.name, d.flow_name)
