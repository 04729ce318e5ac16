"""Checks manifests as the cluster does. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from penstock.api.flow import FlowSpec
from penstock.api.flow_run import FlowRunSpec
from penstock.api.names import API_VERSION, GROUP
from penstock.cli.manifests.manifest import Document, SyntaxProblem, read_documents
from penstock.cli.manifests.prune import is_new, prune
from penstock.engine.suggestion import enumerate_names, suggest
from penstock.engine.validation.flow_defaults import check_flow_defaults, parse_flow_defaults
from penstock.engine.validation.object_fields import check_envelope
from penstock.engine.validation.validation import (
    check_backfill,
    check_flow,
    check_run,
    check_schedule,
    parse_backfill,
    parse_flow,
    parse_run,
    parse_schedule,
)
from penstock.engine.validation.warnings import approval_warnings, image_warnings, name_warnings
from penstock.errors import InvalidSpecError, Problem

KINDS: Final = ("Flow", "FlowRun", "Schedule", "Backfill", "FlowDefaults")


class FlowKey(NamedTuple):
    """Key of a Flow."""

    namespace: str
    """Empty if the manifest has none."""
    name: str


class Finding(NamedTuple):
    """A problem, and its position."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        """Return the finding in the format of compilers, which editors can parse."""
        return f"{self.file}:{self.line}: {self.message}"


def lint(files: Mapping[str, str]) -> tuple[list[Finding], int]:
    """Check manifests; runs are also checked against the Flows in all files.

    Args:
        files: contents by file name.

    Returns:
        The findings, by file and in the order of its objects, and the number of Penstock objects.
    """
    documents = [(file, document) for file, text in files.items() for document in read_documents(text)]
    flows = _valid_flows(document.content for _, document in documents if isinstance(document, Document))
    findings: list[Finding] = []
    objects = 0
    for file, document in documents:
        if isinstance(document, SyntaxProblem):
            findings.append(Finding(file, document.line, document.message))
        elif _is_ours(document.content):
            objects += 1
            found = [Finding(file, problem.line, problem.message) for problem in document.problems]
            found += (
                Finding(file, document.line(problem.path), str(problem) if problem.path else problem.message)
                for problem in _problems(document.content, flows)
                if document.is_read(problem.path)
            )
            findings += sorted(found, key=lambda finding: finding.line)
    return findings, objects


def _valid_flows(contents: Iterable[Any]) -> dict[FlowKey, FlowSpec]:
    flows: dict[FlowKey, FlowSpec] = {}
    for content in contents:
        if _is(content, "Flow"):
            try:
                flows[_key(content, content["metadata"]["name"])] = parse_flow(content)
            except (InvalidSpecError, KeyError, TypeError):
                continue  # a finding of its own
    return flows


def _problems(content: Mapping[str, Any], flows: Mapping[FlowKey, FlowSpec]) -> Iterator[Problem]:
    kind = content.get("kind")
    if content["apiVersion"] != API_VERSION:
        yield Problem("apiVersion", f"unknown version {content['apiVersion']}; must be {API_VERSION}")
    if kind not in KINDS:
        hint = suggest(str(kind), KINDS) or f"; must be one of {enumerate_names(KINDS)}"
        yield Problem("kind", f"unknown kind {kind} of {GROUP}{hint}")
        return
    metadata = content.get("metadata")
    if not isinstance(metadata, Mapping) or not (metadata.get("name") or metadata.get("generateName")):
        yield Problem("metadata.name", "is required")
        content = {**content, "metadata": {**(metadata if isinstance(metadata, Mapping) else {}), "name": "unnamed"}}
    yield from check_envelope(content)
    try:
        yield from _check(content, flows)
    except InvalidSpecError as error:
        yield from error.problems
        yield from _other_problems(content, flows, error.problems)


def _other_problems(
    content: Mapping[str, Any], flows: Mapping[FlowKey, FlowSpec], known: Sequence[Problem]
) -> Iterator[Problem]:
    """Find what else is wrong with an object, of which single fields cannot be read."""
    pruned = prune(content, known)
    if pruned is None:
        return
    try:
        others = _check(pruned, flows)
    except InvalidSpecError as error:
        others = error.problems
        is_read = False
    else:
        is_read = True
    new = [problem for problem in others if is_new(problem, known)]
    yield from new
    if new and not is_read:
        yield from _other_problems(pruned, flows, [*known, *new])


def warn(files: Mapping[str, str]) -> list[Finding]:
    """Find what is valid and may surprise, as the webhook warns of it.

    Args:
        files: contents by file name.
    """
    warnings: list[Finding] = []
    objects = list(_objects(files))
    flows = _valid_flows(document.content for _, document in objects)
    for file, document in objects:
        try:
            found = list(_warnings(document.content, flows))
        except InvalidSpecError:
            continue  # a finding of `lint`
        for path, _, message in (each.partition(": ") for each in found):
            warnings.append(Finding(file, document.line(path), f"warning: {path}: {message}"))
    return warnings


def find_foreign_files(files: Mapping[str, str]) -> list[Finding]:
    """Find files without any Penstock object: perhaps its API group is misspelt.

    Args:
        files: contents by file name.
    """
    ours = {file for file, _ in _objects(files)}
    findings: list[Finding] = []
    for file, text in files.items():
        documents = list(read_documents(text))
        if file in ours or any(isinstance(document, SyntaxProblem) for document in documents):
            continue
        line, hint = 1, ""
        for document in documents:
            content = document.content if isinstance(document, Document) else None
            if isinstance(content, Mapping) and content.get("kind") in KINDS and isinstance(document, Document):
                line = document.line("apiVersion")
                hint = f": the apiVersion of a {content['kind']} is {API_VERSION}, not {content.get('apiVersion')}"
                break
        findings.append(Finding(file, line, f"no Penstock objects found{hint}"))
    return findings


def _objects(files: Mapping[str, str]) -> Iterator[tuple[str, Document]]:
    for file, text in files.items():
        for document in read_documents(text):
            if isinstance(document, Document) and _is_ours(document.content):
                yield file, document


def _warnings(content: Mapping[str, Any], flows: Mapping[FlowKey, FlowSpec]) -> Iterator[str]:
    if content["apiVersion"] != API_VERSION:
        return
    if content.get("kind") == "Flow":
        yield from image_warnings(parse_flow(content), "spec")
    elif content.get("kind") == "FlowDefaults":
        parse_flow_defaults(content)
        yield from name_warnings(content)
    elif content.get("kind") == "FlowRun":
        run = parse_run(content)
        if run.flow_spec is not None:
            yield from image_warnings(run.flow_spec, "spec.flowSpec")
        yield from approval_warnings(run, _flow_of(run, content, flows))
    elif content.get("kind") == "Schedule":
        inline = parse_schedule(content).run_template.spec.flow_spec
        if inline is not None:
            yield from image_warnings(inline, "spec.runTemplate.spec.flowSpec")


def _check(content: Mapping[str, Any], flows: Mapping[FlowKey, FlowSpec]) -> Sequence[Problem]:
    if content["kind"] == "Flow":
        return check_flow(parse_flow(content))
    if content["kind"] == "Schedule":
        return check_schedule(parse_schedule(content))
    if content["kind"] == "FlowDefaults":
        return check_flow_defaults(parse_flow_defaults(content))
    if content["kind"] == "Backfill":
        return check_backfill(parse_backfill(content))
    run = parse_run(content)
    return check_run(run, _flow_of(run, content, flows))


def _flow_of(run: FlowRunSpec, content: Mapping[str, Any], flows: Mapping[FlowKey, FlowSpec]) -> FlowSpec | None:
    return flows.get(_key(content, run.flow.name)) if run.flow else None


def _is_ours(content: Any) -> bool:
    return isinstance(content, Mapping) and str(content.get("apiVersion")).startswith(f"{GROUP}/")


def _is(content: Any, kind: str) -> bool:
    return _is_ours(content) and content.get("kind") == kind


def _key(content: Mapping[str, Any], flow: str) -> FlowKey:
    return FlowKey(content["metadata"].get("namespace") or "", flow)
