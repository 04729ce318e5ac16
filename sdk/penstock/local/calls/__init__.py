"""Calls of the functions of flows and tasks: directly, as generators, or submitted to a pool.

What comes before and after a call is in `penstock.local.lifecycle`.
"""
