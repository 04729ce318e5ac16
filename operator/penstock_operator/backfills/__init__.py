"""Backfills: one run for each tick of a Schedule's past, a few at a time.

The order of the ticks is decided in `penstock.engine.ticks.backfill`.
"""
