import pytest

from penstock.cli.commands.completion_candidates import RESOURCES_OF, complete, expect
from penstock.cli.main import main
from penstock.cli.parser import build_parser

HERE = ("--kubeconfig", "/nonexistent")


def words(*typed):
    return [each.word for each in complete(build_parser(), typed)[0]]


@pytest.mark.parametrize(
    ("typed", "want"),
    [
        pytest.param(["re"], ["retry", "resume", "reject", "restore"], id="a command"),
        pytest.param(["-n", "x", "appr"], ["approve"], id="a command after an option"),
        pytest.param(["get", "f"], ["flows", "flowdefaults"], id="a kind"),
        pytest.param(["get", "-o", "j"], ["json"], id="the value of an option"),
        pytest.param(["get", "--state", "Time"], ["TimedOut"], id="a state"),
        pytest.param(["explain", "OOM"], ["OOMKilled"], id="a reason"),
        pytest.param(["cancel", "r", "--d"], ["--drain"], id="an option"),
        pytest.param(["completion", ""], ["bash", "zsh", "fish"], id="a shell"),
        pytest.param(["launch", ""], [], id="nothing after what makes no sense"),
        pytest.param([*HERE, "watch", ""], [], id="no names without a cluster, and no error"),
        pytest.param(["schedule", "su"], ["suspend"], id="a verb"),
        pytest.param(["delete", "sched"], ["schedules"], id="a kind to delete"),
        pytest.param(["retry", "r", "--res"], ["--restart-completed"], id="an option of retry"),
        pytest.param(["watch", "r", ""], [], id="nothing after the last word"),
    ],
)
def test_a_word_is_completed_by_what_may_stand_there(typed, want):
    assert words(*typed) == want


def test_what_was_typed_before_is_known():
    expected = expect(build_parser(), ["-n", "ns", "run", "--context=c", "orders", "-p", ""])
    assert expected.metavar == "KEY=VALUE"
    assert (expected.typed.namespace, expected.typed.context, expected.typed.flow) == ("ns", "c", "orders")


def test_files_are_left_to_the_shell(capsys):
    assert main(["__complete", "--", "lint", ""]) == 0
    assert capsys.readouterr().out == ":files\n"


def test_the_command_that_shells_call_is_hidden_from_help():
    assert "__complete" not in build_parser().format_help()
    assert "__complete" not in words("")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script(shell, capsys):
    assert main(["completion", shell]) == 0
    assert "penstock __complete -- " in capsys.readouterr().out


def test_a_run_may_be_of_a_flow_or_of_files(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    for words in (["run", ""], ["run", "--local", ""], ["run", "--local", "flow.yaml", ""]):
        assert expect(build_parser(), words).metavar == "FLOW|FILE"
        assert complete(build_parser(), words) == ([], True)
    assert RESOURCES_OF["FLOW|FILE"] == ("flows",)


@pytest.mark.parametrize(
    ("typed", "metavar", "before"),
    [
        pytest.param(["describe", ""], "OBJECT", {}, id="any object"),
        pytest.param(["describe", "schedule", ""], "OBJECT", {"words": "schedule"}, id="an object of a kind"),
        pytest.param(["delete", "run", "a", ""], "NAME", {"kind": "run"}, id="further names"),
        pytest.param(["retry", "r", "--from", ""], "TASK", {"run": "r"}, id="a task of the run"),
        pytest.param(["retry", "r", "-p", ""], "KEY=VALUE", {"run": "r"}, id="a param of the run's Flow"),
        pytest.param(["schedule", "run", "n", "-p", ""], "KEY=VALUE", {"schedule": "n"}, id="of the Schedule's"),
        pytest.param(["schedule", "resume", ""], "SCHEDULE", {}, id="a Schedule"),
    ],
)
def test_names_of_the_cluster_are_looked_for_by_what_was_typed_before(typed, metavar, before):
    expected = expect(build_parser(), typed)
    assert expected.metavar == metavar
    assert {name: getattr(expected.typed, name) for name in before} == before
