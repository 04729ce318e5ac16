"""Extract, transform, load."""

from prefect import flow, get_run_logger, task


@task(retries=2, retry_delay_seconds=1)
def extract(day):
    return [{"day": day, "n": i} for i in range(3)]


@task
def transform(rows):
    return [r["n"] for r in rows]


@task
def load(ns):
    get_run_logger().info("loading")
    return sum(ns)


@flow(name="ETL", log_prints=True)
def main(days: list[str]):
    return {d: load(transform(extract(d))) for d in days}


print(main(["mon", "tue"]))
