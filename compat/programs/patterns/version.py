"""The version of the package is a text."""

import prefect

print(isinstance(prefect.__version__, str))
