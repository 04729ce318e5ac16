"""A variable that exists."""

from prefect.variables import Variable

Variable.set("compat_once", 1, overwrite=True)
try:
    Variable.set("compat_once", 2)
except ValueError:
    print("ValueError", Variable.get("compat_once"))
