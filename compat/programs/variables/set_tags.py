"""A variable with tags."""

from prefect.variables import Variable

Variable.set("compat_tagged", "v", tags=["a"], overwrite=True)
print(Variable.get("compat_tagged"))
