"""The one exception of this package."""


class ClusterError(Exception):
    """A test cluster can't do what was asked: the message says what is wrong and what to do about it."""
