"""Benchmarks: what is measured, against what, and how; README.md says how to read them."""
