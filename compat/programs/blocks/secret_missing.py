"""A secret that does not exist."""

from prefect.blocks.system import Secret

try:
    Secret.load("compat-nothing")
except ValueError as e:
    print("ValueError", "compat-nothing" in str(e))
