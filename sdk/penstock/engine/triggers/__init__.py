"""Events of Schedules: what expressions see of them, which runs they create, and which are done already.

Times are in `penstock.engine.ticks`.
"""
