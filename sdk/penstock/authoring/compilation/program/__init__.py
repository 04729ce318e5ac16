"""The user's program as the compiler reads it: frames, source, bytecode, and where a Pod imports it from.

What its values become while a flow is traced is in the package above, which uses this one. Nothing here knows symbols
or nodes, and nothing calls a function of the program.
"""
