"""`serve`: a process that creates the runs of deployments by their schedules, and by request.

Each run is a process of its own, which runs the flow like any script. Schedules in a cluster are the operator's.
"""
