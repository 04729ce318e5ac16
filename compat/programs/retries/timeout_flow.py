"""A flow that takes too long."""

import time
from prefect import flow


@flow(timeout_seconds=0.3)
def main():
    time.sleep(2)


s = main(return_state=True)
print(s.type.value, s.name)
