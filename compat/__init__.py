"""Programs of Prefect's users, run by Penstock and by Prefect, and where they differ: `make compat`."""
