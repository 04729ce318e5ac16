"""Python flows put into a cluster: compiled, with their code, as Flows and Schedules.

Also what `flow.deploy(...)` and `run_deployment(...)` call.
"""
