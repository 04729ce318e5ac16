"""The command line: a convenience over what `kubectl` can do with the same objects.

Each subcommand is a module of `commands` with a `command(arguments) -> int`, imported when it is called: `penstock
--help` loads neither pydantic nor the Kubernetes client. `parser` declares commands and options.
"""
