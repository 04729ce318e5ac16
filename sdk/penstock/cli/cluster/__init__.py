"""The cluster that a command talks to: reads, lists, watches, changes, and what a refusal means.

The only package of the command line that sends anything.
"""
