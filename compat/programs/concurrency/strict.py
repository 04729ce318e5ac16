"""concurrency() of a limit that must exist."""

from prefect.concurrency.sync import concurrency

try:
    with concurrency("compat-none", strict=True):
        print("inside")
except Exception as e:
    print("refused", type(e).__name__.endswith("Error"))
