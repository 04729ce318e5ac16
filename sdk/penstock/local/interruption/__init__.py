"""What stops a function before it returns: timeouts, the end of its flow run, and signals.

Which state the run gets for it is decided in `penstock.local.lifecycle`.
"""
