"""Threads of this process: pools for submitted tasks, the event loop in the background, and a timer.

What runs in them is in `penstock.local.calls`, what interrupts it in `penstock.local.interruption`.
"""
