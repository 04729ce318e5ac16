"""The arguments of calls: wrappers such as `unmapped(...)`, futures among them, and `map()`.

Futures themselves are in `penstock.authoring.runs`; parameters are validated in `penstock.local.lifecycle`.
"""
