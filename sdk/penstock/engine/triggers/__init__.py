"""Events of Schedules: their values in expressions, the runs that they create, and which are handled already.

Times are in `penstock.engine.ticks`.
"""
