"""Runs on this machine, as the command line shows them: files, screen, approvals, Python flows.

The runs themselves are carried out by `penstock.local`.
"""
