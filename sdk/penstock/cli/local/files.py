"""Reads the manifests of a run from files, and selects the object to run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from penstock.api.flow_defaults import DEFAULTS_NAME, InheritedDefaults
from penstock.api.names import API_VERSION
from penstock.cli.manifests.lint import Finding, lint
from penstock.cli.manifests.manifest import Document, SyntaxProblem, read_documents, read_file
from penstock.drawing.task_rows import Object
from penstock.engine.suggestion import enumerate_names, suggest
from penstock.engine.validation.flow_defaults import parse_flow_defaults
from penstock.engine.validation.parsing import parse_flow
from penstock.errors import CommandError
from penstock.local.pods.compiled_specs import compile_flow
from penstock.local.pods.local_run import CompiledSpec
from penstock.local.pods.manifest_objects import Objects

RUNNABLE: Final = ("FlowRun", "Flow")


class InvalidFilesError(CommandError):
    """Invalid manifests.

    Args:
        findings: the problems, at least one.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__(
            f"nothing was run, because the files have {'a problem' if len(findings) == 1 else 'problems'} (see above)"
        )


class Files(NamedTuple):
    """The objects of the files."""

    flows: Mapping[str, CompiledSpec]
    defaults: InheritedDefaults
    """What they and inline specs inherit."""
    objects: Objects
    chosen: Object
    """The FlowRun or Flow to run."""


def read_files(words: Sequence[str]) -> Files:
    """Read manifests, and select the object to run.

    Args:
        words: names of files; one of them may be `FILE:NAME`, which selects a Flow or FlowRun.

    Raises:
        InvalidFilesError: a manifest is invalid.
        CommandError: a file cannot be read, or the object to run is ambiguous.
    """
    files, names = [], []
    for word in words:
        file, _, name = word.rpartition(":")
        if file and not Path(word).exists():
            files.append(file)
            names.append(name)
        else:
            files.append(word)
    if len(names) > 1:
        raise CommandError(f"only one object can be run, but several are named: {enumerate_names(names)}")
    texts = {file: read_file(file) for file in files}
    findings, _ = lint(texts)
    if findings:
        raise InvalidFilesError(findings)
    contents = list(_contents(texts))
    flows = [content for content in contents if _is(content, "Flow")]
    _refuse_repeated(flows)
    defaults = _find_defaults(contents)
    sources = {
        content["metadata"]["name"]: compile_flow(content["metadata"]["name"], parse_flow(content), defaults)
        for content in flows
    }
    return Files(sources, defaults, Objects(contents), _choose(contents, sources, names[0] if names else None))


def _find_defaults(contents: Sequence[Object]) -> InheritedDefaults:
    found = [
        content
        for content in contents
        if _is(content, "FlowDefaults") and content["metadata"].get("name") == DEFAULTS_NAME
    ]
    if len(found) > 1:
        raise CommandError(f"the files contain two FlowDefaults named {DEFAULTS_NAME}: remove one")
    return InheritedDefaults(namespace=parse_flow_defaults(found[0])) if found else InheritedDefaults()


def _contents(texts: Mapping[str, str]) -> Iterable[Object]:
    for file, text in texts.items():
        for document in read_documents(text):
            if isinstance(document, SyntaxProblem):
                raise CommandError(f"{file}:{document.line}: {document.message}")
            assert isinstance(document, Document)
            content = document.content
            if not isinstance(content, dict):
                raise CommandError(
                    f"{file}:{document.line('')}: not a Kubernetes object: apiVersion and kind are required"
                )
            yield content


def _choose(contents: Sequence[Object], flows: Mapping[str, CompiledSpec], name: str | None) -> Object:
    """Select the object to run: by name, else the only FlowRun, else the only Flow that no other Flow calls."""
    for kind in RUNNABLE:
        found = [content for content in contents if _is(content, kind)]
        if name is not None:
            found = [content for content in found if content["metadata"].get("name") == name]
        elif kind == "Flow":
            called = {
                task.flow.name for source in flows.values() for task in source.spec.tasks if task.flow is not None
            }
            found = [content for content in found if content["metadata"]["name"] not in called] or found
        if len(found) == 1:
            return found[0]
        if found:
            names = [str(content["metadata"].get("name", "(generateName)")) for content in found]
            raise CommandError(
                f"the files contain {len(found)} {kind}s; select one with FILE:NAME, such as FILE:{names[0]}"
            )
    known = [
        str(content["metadata"].get("name")) for content in contents if any(_is(content, kind) for kind in RUNNABLE)
    ]
    if name is None:
        raise CommandError("the files contain no Flow or FlowRun to run")
    hint = suggest(name, known) or f"; they contain {enumerate_names(known)}"
    raise CommandError(f"the files contain no Flow or FlowRun {name}{hint}")


def _refuse_repeated(flows: Iterable[Object]) -> None:
    names: set[str] = set()
    for content in flows:
        name = content["metadata"]["name"]
        if name in names:
            raise CommandError(f"the files contain two Flows named {name}: remove one")
        names.add(name)


def _is(content: Mapping[str, Any], kind: str) -> bool:
    return content.get("apiVersion") == API_VERSION and content.get("kind") == kind
