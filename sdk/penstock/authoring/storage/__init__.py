"""What flows store for people and for other runs: artifacts and variables, and the folder for them.

Results of tasks are not here: `penstock.local.results` stores them on this machine, `penstock.runner` in a cluster.
"""
