"""Blocks: values that are set outside of flows. `penstock.blocks.system` has secrets, `.core` the base of your own."""
