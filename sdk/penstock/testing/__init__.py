"""What Prefect's users need in tests. Flows are tested by calling them.

`penstock.testing.utilities` has the context manager that Prefect's users open around a test: it keeps results in a
temporary folder, and starts no server.
"""
