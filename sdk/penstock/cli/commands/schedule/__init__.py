"""The commands about Schedules: one module for each verb of `penstock schedule`.

What can be typed is in `penstock.cli.parser_schedule`; the times of a Schedule are decided in `penstock.engine.ticks`.
`penstock.cli.main` loads the module of the verb that was typed, and no other.
"""
