"""A variable that is removed."""

from prefect.variables import Variable

Variable.set("compat_gone", 1, overwrite=True)
print(Variable.unset("compat_gone"), Variable.unset("compat_gone"), Variable.get("compat_gone"))
