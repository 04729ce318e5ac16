"""YAML that kubectl reads as what was meant: its words for numbers and booleans are not those of Python's library."""

from __future__ import annotations

from typing import Any, Final

import yaml

from penstock.cli.manifests.yaml_scalar import PLAIN_TAG, read_scalar

WIDTH: Final = 120
_STR_TAG: Final = "tag:yaml.org,2002:str"


def yaml_text(value: Any) -> str:
    """Write a value, keys in their order."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=WIDTH, allow_unicode=True)
    return text


class _Dumper(yaml.SafeDumper):
    """Puts quotes around text that kubectl would take for something else: `1e3`, `0o17`, `y`; keeps lines as lines."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out: what stands twice in a manifest is not the same thing."""
        del data
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    try:
        is_text = isinstance(read_scalar(text, PLAIN_TAG), str)
    except ValueError:
        is_text = False
    style = "|" if "\n" in text else None if is_text else "'"
    return dumper.represent_scalar(_STR_TAG, text, style=style)


_Dumper.add_representer(str, _represent_text)
