"""Admission that records who creates, changes, suspends, ends and decides: `penstock.engine.audit` has the records.

One webhook changes objects, and nothing of them but the records. It is a convenience, as the validating webhooks are:
if no operator answers, the request is admitted, and what it did is not recorded. A second one sees requests that decide
about approvals when their records are written, and refuses those without: no user decides while no operator answers
(`failurePolicy: Fail`). Users whose requests it fails are shown its URL, so it reads nothing to disclose.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from penstock.api import names
from penstock.engine.audit import (
    Record,
    bytes_for_groups,
    decision_line,
    deeds,
    is_recordable,
    new_decisions,
    read_decisions,
    records_of,
    write_records,
)
from penstock.engine.compiler.task_plan import ApproversPlan
from penstock.engine.timestamp import rfc3339
from penstock.errors import PenstockError
from penstock.kube.resources import FLOWRUNS, FLOWS
from penstock_operator.webhooks.admission import MayGet

logger = logging.getLogger(__name__)

LOOKUP_S: Final = 3.0
"""Longest wait for the Flow of a run: the API server waits for the answer, and with it the person."""
TRY_AGAIN: Final = "try again; if it persists, see the operator's log"

Review = Mapping[str, Any]
FindApprovers = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, ApproversPlan]]]
"""Finds who may decide, by task, of a run in a namespace: those tasks that say so."""


class _RefusedError(PenstockError):
    """The request is refused; the message says why."""


class Audit:
    """Answers the reviews.

    Args:
        find_approvers: finds who may decide about a run; None: callers are not known, so nothing is read for them.
        may_get: whether a user may read an object: a refusal names approvers only to users who may read who they are.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        find_approvers: FindApprovers | None,
        *,
        may_get: MayGet,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._find_approvers = find_approvers
        self._may_get = may_get
        self._clock = clock

    async def record(self, body: Review) -> dict[str, Any]:
        """Review a change of an object of any kind, and refuse a decision of a user who may not decide.

        Args:
            body: an AdmissionReview with a request.

        Returns:
            The AdmissionReview with the response. Never raises: what could not be recorded is allowed.
        """
        request: Review = {}
        try:
            request = dict(body["request"])
            return _allowed(request, self._patch(request, await self._decision_lines(request)))
        except _RefusedError as error:
            return _refused(request, str(error))
        except Exception:
            # A fault of ours keeps no user from working: the change is then without a record.
            logger.exception("Failed to record who changed an object; it is allowed")
            return _allowed(request, ())

    async def require_record(self, body: Review) -> dict[str, Any]:
        """Review a request that decides about approvals of a FlowRun, when its records are written.

        Returns:
            The AdmissionReview with the response: refused if it is not recorded who decides. Never raises.
        """
        request: Review = {}
        try:
            request = dict(body["request"])
            recorded = read_decisions(_annotations(request["object"]))
            user = (request.get("userInfo") or {}).get("username")
            for decision in () if _is_restored(request) else new_decisions(*_specs(request)):
                found = recorded.get(decision["task"])
                if found is None or (found.by.user, found.decision) != (user, decision["decision"]):
                    message = f"spec.approvals: who decides about task {decision['task']} was not recorded: {TRY_AGAIN}"
                    return _refused(request, message)
            return _allowed(request, ())
        except Exception:
            # A decision without a proved record must not pass.
            logger.exception("Failed to check a decision; it is refused")
            return _refused(request, f"Penstock could not check this decision: {TRY_AGAIN}")

    async def _decision_lines(self, request: Review) -> list[str]:
        """Return the lines that record what a request decides.

        Raises:
            _RefusedError: its user may not decide.
        """
        added = [] if _is_restored(request) else new_decisions(*_specs(request))
        user = request.get("userInfo") or {}
        name, groups = str(user.get("username", "")), frozenset(user.get("groups") or ())
        if not added or not is_recordable(name):
            return []
        by, bytes_left = self._by(name), bytes_for_groups(_annotations(request.get("oldObject")), len(added))
        if self._find_approvers is None:
            # The operator judges by the revision of the run, and needs those groups that it names, whichever they are.
            return [decision_line(decision, by, (), others=groups, bytes_left=bytes_left) for decision in added]
        try:
            async with asyncio.timeout(LOOKUP_S):
                approvers = await self._find_approvers(request.get("namespace", ""), _run(request))
        except (PenstockError, OSError, TimeoutError) as error:
            logger.warning("Failed to find who may decide about %s: %s", request.get("name"), error)
            return []
        # A run that has not begun gets the revision that its Flow has by then, which may name other groups.
        others = () if _has_revision(request) else groups
        lines = []
        for decision in added:
            allowed = approvers.get(decision["task"])
            if allowed is not None and not allowed.include(name, groups):
                who = str(allowed) if await self._may_know(request) else "its approval names who may"
                raise _RefusedError(f"spec.approvals: {name} may not decide about task {decision['task']}: {who}")
            of_user = () if allowed is None else groups & allowed.groups
            lines.append(decision_line(decision, by, of_user, others=others, bytes_left=bytes_left))
        return lines

    async def _may_know(self, request: Review) -> bool:
        """Whether the user of a request may read the object that says who may decide."""
        spec, _ = _specs(request)
        flow, retried = ((spec.get(field) or {}).get("name") for field in ("flow", "retryOf"))
        if not (flow or retried):
            return True
        resource = FLOWS if flow else FLOWRUNS
        try:
            async with asyncio.timeout(LOOKUP_S):
                return await self._may_get(
                    request.get("userInfo") or {}, resource, request.get("namespace", ""), str(flow or retried)
                )
        except (PenstockError, OSError, TimeoutError):
            return False

    def _patch(self, request: Review, lines: Sequence[str]) -> list[dict[str, Any]]:
        """Return the JSON Patch that makes the records what they must be."""
        if _is_restored(request):
            # It keeps the records of the backup, if its user may restore: the policy decides.
            return []
        spec, before = _specs(request)
        user = str((request.get("userInfo") or {}).get("username", ""))
        done = list(deeds(request["kind"]["kind"], spec, before))
        old = request.get("oldObject")
        generation = 0 if old is None else int(old["metadata"].get("generation", 0))
        wanted = write_records(_annotations(old), done, self._by(user), lines, generation=generation)
        found = _annotations(request["object"])
        present = records_of(found)
        if not found:
            value = {"op": "add", "path": "/metadata/annotations", "value": wanted}
            return [value] if wanted else []
        patch: list[dict[str, Any]] = [
            {"op": "add", "path": _path(key), "value": value}
            for key, value in wanted.items()
            if present.get(key) != value
        ]
        return patch + [{"op": "remove", "path": _path(key)} for key in present if key not in wanted]

    def _by(self, user: str) -> Record:
        return Record(user, rfc3339(int(self._clock())))


def _specs(request: Review) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """Return the spec, and that before an update."""
    before = request.get("oldObject")
    is_update = request.get("operation") == "UPDATE" and before is not None
    return request["object"].get("spec") or {}, ((before or {}).get("spec") or {}) if is_update else None


def _run(request: Review) -> Mapping[str, Any]:
    """Return the run that is decided about. Whoever creates an object can write any status, which is not stored."""
    return {**request["object"], "status": (request.get("oldObject") or {}).get("status") or {}}


def _has_revision(request: Review) -> bool:
    """Whether what the run is made of does not change any more."""
    run = _run(request)
    return bool((run.get("spec") or {}).get("flowSpec") or run["status"].get("revision"))


def _annotations(item: Mapping[str, Any] | None) -> Mapping[str, str]:
    return ((item or {}).get("metadata") or {}).get("annotations") or {}


def _is_restored(request: Review) -> bool:
    labels = (request["object"].get("metadata") or {}).get("labels") or {}
    return request.get("operation") == "CREATE" and names.LABEL_RESTORED in labels


def _path(annotation: str) -> str:
    return f"/metadata/annotations/{annotation.replace('~', '~0').replace('/', '~1')}"


def _allowed(request: Review, patch: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    response: dict[str, Any] = {"uid": request.get("uid", ""), "allowed": True}
    if patch:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
    return _reply(response)


def _refused(request: Review, message: str) -> dict[str, Any]:
    status = {"status": "Failure", "code": int(HTTPStatus.FORBIDDEN), "reason": "Forbidden", "message": message}
    return _reply({"uid": request.get("uid", ""), "allowed": False, "status": status})


def _reply(response: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
