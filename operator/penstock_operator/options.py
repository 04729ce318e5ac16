"""The operator's options: each from a flag, else an environment variable, else a default."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, NoReturn

from penstock.api.duration import duration_s
from penstock.api.flow_defaults import FlowDefaultsSpec
from penstock.engine.validation.flow_defaults import check_flow_defaults, parse_flow_defaults
from penstock.errors import DurationError, InvalidSpecError, OptionError
from penstock.kube.lease import LeaseTimes
from penstock_operator.log import LEVELS, LogFormat
from penstock_operator.triggers.kinds import EventKinds, read_allowed_kinds

ALL_NAMESPACES: Final = ("",)
NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
MAX_PORT: Final = 65535
MAX_USER: Final = 2**31 - 1
SERVICE_LINK: Final = "tcp://"
"""How Kubernetes' own variables begin: a Service named `penstock-webhook` sets PENSTOCK_WEBHOOK_PORT in every Pod of
its namespace (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables)."""
PROGRAM: Final = "penstock-operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Every option of the operator, read and checked."""

    namespaces: tuple[str, ...]
    """Watched namespaces; a single empty one: all."""
    lease_namespace: str
    lease_name: str
    lease_times: LeaseTimes
    identity: str
    bind_address: str
    http_port: int
    webhook_port: int
    event_kinds: EventKinds
    """Kinds of objects whose changes may trigger Schedules."""
    event_port: int | None
    """Port of the webhooks of Schedules; None: they are not served."""
    webhook_cert_dir: str
    """Folder with `tls.crt` and `tls.key`; empty: no webhook server."""
    webhook_token_file: str
    """File with the token in the path of the validating webhooks; empty: they have none."""
    webhook_references: bool
    """Whether the validating webhooks read objects that an object refers to."""
    writes_in_flight: int
    admission_policy: bool
    """Whether the chart's admission policy is in force."""
    task_user: int
    track_pods: bool
    flow_defaults: FlowDefaultsSpec | None
    """What every Flow inherits, below the FlowDefaults of its namespace."""
    log_level: str
    log_format: LogFormat


@dataclass(frozen=True, slots=True)
class _Option:
    flag: str
    default: str
    read: Callable[[str], Any]
    meaning: str
    metavar: str

    @property
    def variable(self) -> str:
        return "PENSTOCK_" + self.flag.removeprefix("--").replace("-", "_").upper()

    @property
    def name(self) -> str:
        return self.flag.removeprefix("--").replace("-", "_")


def _text(text: str) -> str:
    return text


def _name(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def _namespaces(text: str) -> tuple[str, ...]:
    found = tuple(sorted({each.strip() for each in text.split(",")} - {""}))
    for each in found:
        # kopf would take others as patterns.
        if not NAMESPACE.fullmatch(each):
            raise ValueError(f"{each!r} is not the name of a namespace; write names separated by commas")
    return found or ALL_NAMESPACES


def _seconds(text: str) -> float:
    try:
        return duration_s(text)
    except DurationError as error:
        raise ValueError(str(error)) from None


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}; got {text!r}")
        return int(text)

    return read


def _port_or_none(text: str) -> int | None:
    return _whole(0, MAX_PORT)(text) if text else None


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"must be true or false; got {text!r}")
    return text.lower() == "true"


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() in choices:
            return text.lower()
        near = difflib.get_close_matches(text.lower(), choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{text!r} is not one of {', '.join(choices)}{hint}")

    return read


def _file(text: str) -> str:
    if text and not os.path.isfile(text):  # noqa: PTH113 - a string in, a string out
        raise ValueError(f"{text!r} is not a file")
    return text


def _flow_defaults(text: str) -> FlowDefaultsSpec | None:
    """Read the file with the spec of FlowDefaults; None if there is none, or it is empty."""
    if not _file(text):
        return None
    try:
        spec = parse_flow_defaults({"spec": json.loads(Path(text).read_text(encoding="utf-8"))})
        problems = check_flow_defaults(spec)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{text}: {error}") from None
    except InvalidSpecError as error:
        problems = list(error.problems)
    if problems:
        raise ValueError(f"{text}: {'; '.join(map(str, problems))}")
    return spec if spec.model_fields_set else None


def _folder(text: str) -> str:
    if text and not os.path.isdir(text):  # noqa: PTH112 - a string in, a string out
        raise ValueError(f"{text!r} is not a folder")
    return text


_OPTIONS: Final = (
    _Option("--namespace", "", _namespaces, "namespaces to watch, separated by commas; empty: all", "NAMES"),
    _Option("--lease-namespace", "default", _name, "namespace of the leader's Lease", "NAME"),
    _Option("--lease-name", "penstock-operator", _name, "name of the leader's Lease", "NAME"),
    _Option(
        "--lease-duration",
        "15s",
        _seconds,
        "without a renewal for so long, another replica takes the Lease",
        "DURATION",
    ),
    _Option(
        "--lease-renew-deadline",
        "10s",
        _seconds,
        "the leader stops writing after this time without renewal",
        "DURATION",
    ),
    _Option(
        "--lease-retry-period",
        "2s",
        _seconds,
        "how often the Lease is renewed; the others read it twice as often",
        "DURATION",
    ),
    _Option("--identity", "", _text, "this replica's name in the Lease; empty: host name and process id", "NAME"),
    _Option("--bind-address", "0.0.0.0", _name, "address to listen on", "ADDRESS"),  # noqa: S104 - a Pod's address is not known beforehand
    _Option("--http-port", "8080", _whole(0, MAX_PORT), "port of /metrics, /healthz and /readyz; 0: any", "PORT"),
    _Option("--webhook-port", "9443", _whole(0, MAX_PORT), "port of the validating webhooks; 0: any", "PORT"),
    _Option("--webhook-cert-dir", "", _folder, "folder with tls.crt and tls.key; empty: no webhooks", "FOLDER"),
    _Option(
        "--webhook-token-file",
        "",
        _file,
        "file with the secret part of the validating webhooks' path, /validate/TOKEN/flows; empty: they are at"
        " /validate/flows, and read no other objects",
        "FILE",
    ),
    _Option(
        "--webhook-references",
        "true",
        _truth,
        "whether the validating webhooks read the objects that an object refers to, if its user may read them",
        "true|false",
    ),
    _Option(
        "--event-kinds",
        "",
        read_allowed_kinds,
        "kinds of objects whose changes may trigger Schedules, such as v1/ConfigMap=configmaps,batch/v1/Job=jobs",
        "KINDS",
    ),
    _Option("--event-port", "", _port_or_none, "port of the webhooks of Schedules; empty: not served; 0: any", "PORT"),
    _Option("--writes-in-flight", "16", _whole(1, 1024), "concurrent writes to the API server", "COUNT"),
    _Option(
        "--admission-policy",
        "false",
        _truth,
        "the chart's admission policy is in force: only the operator sets what identifies its objects",
        "true|false",
    ),
    _Option("--task-user", "65532", _whole(1, MAX_USER), "runAsUser of task Pods that do not set one", "UID"),
    _Option(
        "--track-pods", "true", _truth, "protect Pods with a finalizer until their outcome is stored", "true|false"
    ),
    _Option(
        "--flow-defaults",
        "",
        _flow_defaults,
        "file with the spec of FlowDefaults, as JSON, that all Flows inherit below those of their namespace",
        "FILE",
    ),
    _Option("--log-level", "info", _one_of(*LEVELS), f"one of {', '.join(LEVELS)}", "LEVEL"),
    _Option("--log-format", "text", LogFormat.read, f"one of {', '.join(LogFormat)}", "FORMAT"),
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise OptionError(message)


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Read the options.

    Args:
        argv: the arguments, without the program's name.
        environ: the environment.

    Raises:
        OptionError: a value is invalid; one line that names the flag or the variable.
        SystemExit: `--help` was asked for, and printed.
    """
    parser = _Parser(
        prog=PROGRAM,
        description="Runs Penstock's flows in a cluster. A flag takes precedence over its environment variable.",
        allow_abbrev=False,
    )
    for option in _OPTIONS:
        text = f"{option.meaning} (default: {option.default or 'empty'}; environment: {option.variable})"
        parser.add_argument(option.flag, dest=option.name, metavar=option.metavar, help=text.replace("%", "%%"))
    given, unknown = parser.parse_known_args(argv)
    if unknown:
        near = difflib.get_close_matches(unknown[0].partition("=")[0], [option.flag for option in _OPTIONS], n=1)
        hint = f"; did you mean {near[0]}?" if near else "; see --help"
        raise OptionError(f"unknown option {unknown[0]}{hint}")
    values = {option.name: _read(option, getattr(given, option.name), environ) for option in _OPTIONS}
    values["lease_times"] = LeaseTimes(
        values["lease_duration"], values["lease_renew_deadline"], values["lease_retry_period"]
    )
    values["namespaces"] = values["namespace"]
    values["identity"] = values["identity"] or f"{socket.gethostname()}_{os.getpid()}"
    return Options(**{field.name: values[field.name] for field in fields(Options)})


def _read(option: _Option, flag_value: str | None, environ: Mapping[str, str]) -> Any:
    source, text = option.flag, flag_value
    if text is None:
        source, text = option.variable, environ.get(option.variable)
        if text is not None and text.startswith(SERVICE_LINK):
            text = None
    if text is None:
        text = option.default
    try:
        return option.read(text)
    except ValueError as error:
        raise OptionError(f"{source}: {error}") from None
