"""Schedules by time: which ticks are due, the runs that they create, and the history that they keep.

Schedules by events are in `triggers`; the times themselves are in `penstock.engine.ticks`.
"""
