"""Blocks: values that are set outside of flows. `penstock.blocks.system` has secrets, `.core` the base of your own.

Under Prefect's names, for the code of flows and tasks; `penstock.local.blocks` reads the values from the environment, a
mounted Secret or a file. There is no server that stores blocks.
"""
