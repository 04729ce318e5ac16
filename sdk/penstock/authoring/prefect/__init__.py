"""Names that only Prefect has: the table of what to use instead, and the errors that say so.

Names that Penstock has too are modules in `penstock` itself, and `penstock.migrate` rewrites programs.
"""
