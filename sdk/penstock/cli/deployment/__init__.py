"""Deploys Python flows: compiled, with their code, as Flows and Schedules.

Also what `flow.deploy(...)` and `run_deployment(...)` call.
"""
