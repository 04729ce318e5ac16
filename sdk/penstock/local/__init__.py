"""Flows in this process: what happens when a script calls one."""
