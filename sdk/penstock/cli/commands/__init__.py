"""The commands: one file each, named as it is typed.

Those about runs, flows, Schedules and the installation are in packages; here are those about objects of any kind, and
about the command line. `approve` has reject too, and `suspend` has resume. `run` picks one of `run_in_cluster`,
`run_inline` and `run_local`. What several commands share is in the packages beside this one.
"""
