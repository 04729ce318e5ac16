"""What Prefect's users need in tests. Flows are tested by calling them."""
