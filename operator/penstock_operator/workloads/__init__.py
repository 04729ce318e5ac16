"""API objects read into facts: what a Pod or a Job says about the attempt that it carries. Pure.

Nothing here reads or writes the cluster.
"""
