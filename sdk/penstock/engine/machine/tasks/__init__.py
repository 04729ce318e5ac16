"""The state of one task of a run: its instance or its items, their attempts, and what keeps them from starting.

What happens across tasks is in `penstock.engine.machine.run`; who starts and ends attempts, in the package above.
"""
