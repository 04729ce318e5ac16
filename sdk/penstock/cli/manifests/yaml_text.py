"""Writes YAML that kubectl reads back unchanged: its rules for numbers and booleans differ from those of PyYAML."""

from __future__ import annotations

from typing import Any, Final

import yaml

from penstock.cli.manifests.yaml_scalar import PLAIN_TAG, read_scalar
from penstock.printable import escape_unprintable, is_printable

WIDTH: Final = 120
_STR_TAG: Final = "tag:yaml.org,2002:str"


def yaml_text(value: Any) -> str:
    """Return a value as YAML; keys keep their order."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=WIDTH, allow_unicode=True)
    return escape_unprintable(text)  # all of them stand in double quotes


class _Dumper(yaml.SafeDumper):
    """Quotes text that kubectl would not read as text (`1e3`, `0o17`, `y`), and writes multi-line text as a block.

    Text with a control character is written in double quotes, where it can be escaped.
    """

    def ignore_aliases(self, data: Any) -> bool:
        """Write no aliases."""
        del data
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    try:
        is_text = isinstance(read_scalar(text, PLAIN_TAG), str)
    except ValueError:
        is_text = False
    if not is_printable(text):
        style: str | None = '"'
    else:
        style = "|" if "\n" in text else None if is_text else "'"
    return dumper.represent_scalar(_STR_TAG, text, style=style)


_Dumper.add_representer(str, _represent_text)
