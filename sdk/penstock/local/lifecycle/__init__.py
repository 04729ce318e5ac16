"""The life cycles of flow runs and task runs: from their parameters over attempts and retries to a final state.

They yield steps and call nothing themselves: the functions of users are called in `penstock.local.calls`.
"""
