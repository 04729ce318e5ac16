"""A variable that is set and read."""

from prefect.variables import Variable

Variable.set("compat_region", "eu", overwrite=True)
print(Variable.get("compat_region"), Variable.get("compat_none"), Variable.get("compat_none", default="d"))
