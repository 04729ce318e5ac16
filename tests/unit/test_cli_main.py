import argparse
import subprocess
import sys
import textwrap
from importlib import import_module

import pytest

import penstock
from penstock.cli.cluster.start_run import build_run
from penstock.cli.invocation import cluster_flags, program
from penstock.cli.main import main
from penstock.cli.parser import build_parser

HEAVY = ("kubernetes", "pydantic", "rich", "yaml", "cel_expr_python", "asyncio", "resvg_py", "ssl", "inspect", "json")


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["run", "--help"], ["graph", "--help"], ["schedule", "-h"]]
)
def test_the_help_loads_nothing_that_makes_it_slow(words):
    code = """
        import contextlib, sys
        from penstock.cli.main import main
        with contextlib.suppress(SystemExit):
            main(sys.argv[1:])
        print("LOADED", *sys.modules)
    """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *words], capture_output=True, text=True, check=True
    )
    loaded = set(answer.stdout.partition("LOADED")[2].split())
    assert not loaded.intersection(HEAVY)
    # Of ours, only what describes the words: what a command needs is loaded when it is run.
    assert {name for name in loaded if name.startswith("penstock.")} == {
        *(
            "penstock.cli",
            "penstock.cli.parser",
            "penstock.cli.parser_deploy",
            "penstock.cli.parser_schedule",
            "penstock.cli.parser_shared",
            "penstock.cli.parser_viewing",
            "penstock.cli.invocation",
            "penstock.cli.main",
            "penstock.cli.exit_codes",
            "penstock.cli.text",
            "penstock.cli.text.echo",
        ),
        *("penstock.engine", "penstock.engine.suggestion", "penstock.errors", "penstock.printable"),
    }


def test_every_command_names_a_module_that_has_it():
    modules = list(modules_below(build_parser()))
    assert "penstock.cli.commands.schedule.run" in modules
    for module in modules:
        assert callable(import_module(module).command)


def modules_below(parser):
    """The module of each command that has no commands of its own."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield parser.get_default("module")
    for action in below:
        for each in action.choices.values():
            yield from modules_below(each)


def test_version_prints_the_version(capsys):
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"penstock {penstock.__version__}\n"


def test_a_missing_kubeconfig_is_one_line_on_standard_error(tmp_path, capsys):
    assert main(["watch", "x", "--kubeconfig", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("penstock: no cluster configured: ")


CONFIG = """\
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: /nonexistent, args: []}}}]
"""


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        pytest.param("{{{", (), "cannot read the kubeconfig: ", id="no YAML"),
        pytest.param("[1, 2]", (), "cannot read the kubeconfig: ", id="no mapping"),
        pytest.param("a: b", (), "Expected key current-context", id="another sort of file"),
        pytest.param(CONFIG, (), "cannot get the credentials of the kubeconfig: ", id="a program that is not there"),
        pytest.param(CONFIG, ("--context", "d"), "name d in ", id="an unknown context"),
        pytest.param(CONFIG, ("-n", "A/b"), "-n A/b: invalid name of a namespace", id="an impossible namespace"),
    ],
)
def test_a_kubeconfig_that_can_not_be_used_is_one_line(tmp_path, capsys, content, words, message):
    file = tmp_path / "config"
    file.write_text(content)
    assert main(["get", "--kubeconfig", str(file), *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_an_unknown_command_exits_with_2_and_names_the_nearest_one(capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["aprove"])
    assert exit_info.value.code == 2
    assert "unknown command 'aprove' (did you mean \"approve\"?)" in capsys.readouterr().err


def test_a_generated_name_leaves_space_for_its_suffix():
    assert build_run("a" * 63, name=None, spec={})["metadata"] == {"generateName": "a" * 57 + "-"}
    assert build_run("ab", name="mine", spec={})["metadata"] == {"name": "mine"}


def test_options_before_the_command_count_as_those_after_it():
    parse = build_parser().parse_args
    assert parse(["-n", "here", "watch", "r"]).namespace == "here"
    assert parse(["-n", "here", "watch", "r", "-n", "there"]).namespace == "there"
    assert parse(["watch", "r"]).namespace is None


def test_hints_repeat_the_options_that_were_given(monkeypatch):
    typed = build_parser().parse_args(["watch", "r", "-n", "a b", "--context", "c"])
    assert cluster_flags(typed) == " -n 'a b' --context c"
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/kubectl-penstock", "watch"])
    assert program() == "kubectl penstock"
    assert build_parser().format_usage().startswith("usage: kubectl penstock ")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["flow-run", "ls"], "runs: penstock get, describe"),
        (["server", "start"], "there is no server"),
        (["worker", "start", "--pool", "x"], "there are no work pools or workers"),
        (["work-pool", "create", "x"], "there are no work pools or workers"),
        (["deployment", "run", "etl/x"], "penstock run NAME starts it"),
        (["variable", "set", "a", "1"], "Variable.set in Python"),
        (["block", "register"], "blocks are not registered"),
        (["gcl", "create"], "PENSTOCK_LIMITS"),
        (["config", "set", "A=1"], "settings are environment variables"),
        (["automation", "ls"], "write a Schedule with `events`"),
        (["init"], "penstock deploy FILE.py:FLOW"),
        (["shell", "serve", "ls"], "a task with `command` or `script`"),
    ],
)
def test_a_command_of_prefect_names_what_to_use_instead(words, hint, capsys):
    with pytest.raises(SystemExit):
        main(words)
    said = capsys.readouterr().err
    assert f"unknown command '{words[0]}': " in said
    assert hint in said
    assert "did you mean" not in said


@pytest.mark.parametrize("file", ["orders.py", "orders.py:orders", "orders.yaml"])
def test_a_file_that_is_run_without_a_cluster_needs_a_word_about_where(file, tmp_path, capsys):
    assert main(["run", file, "--kubeconfig", str(tmp_path / "none")]) == 1
    assert f"{file}: to run files, add --local (this machine) or --inline (cluster)" in capsys.readouterr().err
