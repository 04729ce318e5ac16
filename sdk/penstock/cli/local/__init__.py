"""Runs on this machine, as the command line shows them: files, screen, approvals, Python flows.

`penstock.local` executes the runs.
"""
