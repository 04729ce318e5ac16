"""What carries an attempt of a task: a Pod, a Job or a child run, created, adopted, stopped and looked up.

What such an object says about its attempt is read in `workloads`.
"""
