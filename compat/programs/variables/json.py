"""Variables of JSON values."""

from prefect.variables import Variable

Variable.set("compat_limits", {"rows": [1, 2]}, overwrite=True)
Variable.set("compat_number", 5, overwrite=True)
Variable.set("compat_text", "5", overwrite=True)
print(Variable.get("compat_limits"), repr(Variable.get("compat_number")), repr(Variable.get("compat_text")))
