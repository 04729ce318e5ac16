"""Expressions and templates: CEL, what it may refer to, and `$(...)` in texts and values.

Which field may hold an expression is decided in `penstock.engine.compiler`.
"""
