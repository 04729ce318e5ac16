from __future__ import annotations

import os
import re
import socket
import subprocess
import sys

import pytest

from penstock.errors import OptionError
from penstock.kube.lease import LeaseTimes
from penstock_operator.log import LogFormat
from penstock_operator.options import parse


def test_without_any_setting_the_defaults_hold():
    options = parse([], {})
    assert options.namespaces == ("",)
    assert (options.lease_namespace, options.lease_name) == ("default", "penstock-operator")
    assert options.lease_times == LeaseTimes(15, 10, 2)
    assert (options.http_port, options.webhook_port, options.webhook_cert_dir) == (8080, 9443, "")
    assert (options.webhook_token_file, options.webhook_references) == ("", True)
    assert (options.writes_in_flight, options.task_user, options.track_pods) == (16, 65532, True)
    assert (options.log_level, options.log_format) == ("info", LogFormat.TEXT)


def test_the_identity_is_the_host_name_and_the_process_unless_given():
    assert parse([], {}).identity == f"{socket.gethostname()}_{os.getpid()}"
    assert parse([], {"PENSTOCK_IDENTITY": "penstock-7d9f-abcde"}).identity == "penstock-7d9f-abcde"


def test_a_flag_goes_before_its_variable_and_that_before_the_default():
    environ = {"PENSTOCK_NAMESPACE": "from-variable", "PENSTOCK_TASK_USER": "1000", "PENSTOCK_TRACK_PODS": "False"}
    options = parse(["--namespace", "from-flag"], environ)
    assert (options.namespaces, options.task_user, options.track_pods) == (("from-flag",), 1000, False)


def test_several_namespaces_are_separated_by_commas():
    assert parse(["--namespace=team-b, team-a,team-b"], {}).namespaces == ("team-a", "team-b")


@pytest.mark.parametrize("name", ["team-*", "!team-a", "Team", "a b"])
def test_a_pattern_is_not_the_name_of_a_namespace(name):
    with pytest.raises(OptionError, match=r"--namespace: .* is not the name of a namespace"):
        parse([f"--namespace=ok,{name}"], {})


def test_durations_are_read_as_people_write_them():
    argv = ["--lease-duration=1m30s", "--lease-renew-deadline=40s", "--lease-retry-period=500ms"]
    assert parse(argv, {}).lease_times == LeaseTimes(90, 40, 0.5)


@pytest.mark.parametrize(
    ("argv", "environ", "message"),
    [
        (["--http-port", "web"], {}, "--http-port: must be a whole number from 0 to 65535; got 'web'"),
        (
            [],
            {"PENSTOCK_HTTP_PORT": "70000"},
            "PENSTOCK_HTTP_PORT: must be a whole number from 0 to 65535; got '70000'",
        ),
        (["--task-user=0"], {}, "--task-user: must be a whole number from 1 to 2147483647; got '0'"),
        (["--track-pods", "maybe"], {}, "--track-pods: must be true or false; got 'maybe'"),
        (
            ["--log-level", "warn"],
            {},
            "--log-level: 'warn' is not one of debug, info, warning, error; did you mean 'warning'?",
        ),
        (
            [],
            {"PENSTOCK_LOG_FORMAT": "jsn"},
            "PENSTOCK_LOG_FORMAT: 'jsn' is not one of text, json; did you mean 'json'?",
        ),
        (["--lease-name="], {}, "--lease-name: must not be empty"),
        (["--webhook-cert-dir=/nowhere"], {}, "--webhook-cert-dir: '/nowhere' is not a folder"),
        (["--webhook-token-file=/nowhere"], {}, "--webhook-token-file: '/nowhere' is not a file"),
        (["--log-levle=info"], {}, "unknown option --log-levle=info; did you mean --log-level?"),
        (["surprise"], {}, "unknown option surprise; see --help"),
        (["--namespace"], {}, "argument --namespace: expected one argument"),
    ],
)
def test_an_invalid_value_is_reported_in_one_line_that_names_its_source(argv, environ, message):
    with pytest.raises(OptionError) as caught:
        parse(argv, environ)
    assert str(caught.value) == message


def test_an_invalid_duration_names_its_source():
    with pytest.raises(OptionError, match=r"^PENSTOCK_LEASE_DURATION: '15' is not a duration"):
        parse([], {"PENSTOCK_LEASE_DURATION": "15"})


def test_times_of_the_lease_that_do_not_fit_together_are_refused():
    with pytest.raises(
        OptionError, match=r"--lease-duration \(5s\) must be greater than --lease-renew-deadline \(10s\)"
    ):
        parse(["--lease-duration=5s"], {})


def test_the_variable_that_kubernetes_sets_for_a_service_of_our_name_is_not_an_option():
    assert parse([], {"PENSTOCK_WEBHOOK_PORT": "tcp://10.96.0.12:443"}).webhook_port == 9443


def test_help_lists_every_option_with_its_default_and_its_variable():
    script = "import sys; from penstock_operator.options import parse; parse(sys.argv[1:], {})"
    done = subprocess.run([sys.executable, "-c", script, "--help"], capture_output=True, text=True, check=True)
    text = re.sub(r"\s+", " ", done.stdout)
    for flag in re.findall(r"\[(--[a-z-]+) ", text):
        variable = "PENSTOCK_" + flag[2:].replace("-", "_").upper()
        assert re.search(rf"{flag} [A-Z|a-z]+ [^)]*\(default: [^;]+; environment: {variable}\)", text), flag
    assert text.count("environment:") == 22
