"""How many runs of a Flow run at once: the limit, and which runs hold its slots.

Counted from runs, never from a counter.
"""
