"""`penstock completion`: completion of commands, options and names of objects in a shell."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from penstock.cli.commands.completion_candidates import complete
from penstock.cli.parser import COMPLETE, build_parser
from penstock.cli.text.echo import echo

FILES: Final = ":files"
"""Printed instead of candidates where file names are expected."""
BASH: Final = r"""# Completion of penstock for bash: source <(penstock completion bash)
_penstock() {
    local IFS=$'\n'
    COMPREPLY=($(penstock COMPLETE -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1))
    if [[ ${COMPREPLY[0]-} == ":files" ]]; then
        COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
    fi
}
complete -F _penstock penstock
"""
ZSH: Final = r"""#compdef penstock
# Completion of penstock for zsh: source <(penstock completion zsh)
_penstock() {
    local -a found described
    found=("${(@f)$(penstock COMPLETE -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ ${found[1]} == ":files" ]]; then
        _files
        return
    fi
    local line
    for line in "${found[@]}"; do
        [[ -n $line ]] && described+=("${line//:/\\:}")
    done
    described=("${described[@]/$'\t'/:}")
    _describe penstock described
}
compdef _penstock penstock
"""
FISH: Final = r"""# Completion of penstock for fish: penstock completion fish | source
function __penstock_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found (penstock COMPLETE -- $words[2..] 2>/dev/null)
    if test "$found[1]" = ":files"
        __fish_complete_path (commandline -ct)
    else
        printf '%s\n' $found
    end
end
complete -c penstock -f -a '(__penstock_complete)'
"""
SCRIPTS: Final = {"bash": BASH, "zsh": ZSH, "fish": FISH}
NO_FILES, FILES_TOO = ":4", ":0"
"""Directives of kubectl's completion: do not complete file names, or do."""


def command(arguments: argparse.Namespace) -> int:
    """Print the script for a shell; or, called by that script, the candidates for the last word."""
    if arguments.subcommand != COMPLETE:
        echo(SCRIPTS[arguments.shell].replace("COMPLETE", COMPLETE), end="")
        return 0
    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    found, has_files = complete(build_parser(), words)
    for word, text in found:
        echo(f"{word}\t{text}" if text else word)
    if has_files and not found:
        echo(FILES)
    return 0


def complete_for_kubectl() -> int:
    """Complete `kubectl penstock ...`: kubectl calls `kubectl_complete-penstock` with the words.

    See https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/ and `kubectl completion --help`.
    """
    found, has_files = complete(build_parser(), sys.argv[1:] or [""])
    for word, text in found:
        echo(f"{word}\t{text}" if text else word)
    echo(FILES_TOO if has_files else NO_FILES)
    return 0
