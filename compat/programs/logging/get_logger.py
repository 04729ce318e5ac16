"""A logger by name."""

from prefect.logging import get_logger

log = get_logger("mine")
log.info("hello")
print(log.name.endswith("mine"))
