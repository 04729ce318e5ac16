"""A Flow's spec turned into a plan, once per revision: tasks, their graph, params and Pod templates.

What a run then does with the plan is in `penstock.engine.machine`.
"""
