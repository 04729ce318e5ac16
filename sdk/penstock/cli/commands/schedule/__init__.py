"""The commands about Schedules: one module for each verb of `penstock schedule`."""
