"""The commands: one file each, named as it is typed.

What several commands share is in the packages beside this one.
"""
