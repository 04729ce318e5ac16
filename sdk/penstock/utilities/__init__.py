"""Helpers of Prefect that flows use: `penstock.utilities.annotations`."""
