"""Objects as an earlier version of the operator left them in the middle of its work, and how they must end.

`record` is run once for a version from which users upgrade; what it writes is kept here, so that a test needs no other
checkout. A recording cannot be used before the time at which it was made.
"""
