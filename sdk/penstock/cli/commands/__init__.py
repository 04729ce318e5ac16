"""The commands: one file each, named as it is typed.

`approve` has reject too, and `suspend` has resume. `run` picks one of `run_in_cluster`, `run_inline` and `run_local`.
What several commands share is in the packages beside this one.
"""
