"""Flows: validated, tried as a dry run, and stored as revisions that runs keep.

How runs of a Flow start is in `runs`.
"""
