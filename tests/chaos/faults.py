"""What breaks. Each fault is a class: one more is one more class in `FAULTS`."""

from __future__ import annotations

from http import HTTPStatus
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

from tests.api.faults import Seen

if TYPE_CHECKING:
    from tests.chaos.world import World


class Fault:
    """Something that breaks.

    Attributes:
        weight: how often, beside the others.
    """

    weight: ClassVar[int] = 1

    def strike(self, world: World, rng: Random) -> bool:
        """Break it; whether there was anything to break."""
        raise NotImplementedError


class OperatorKilled(Fault):
    """SIGKILL: the process may do nothing more."""

    weight = 2

    def strike(self, world: World, rng: Random) -> bool:
        return rng.choice(world.operators).kill()


class OperatorTerminated(Fault):
    """SIGTERM, as in a rollout."""

    def strike(self, world: World, rng: Random) -> bool:
        return rng.choice(world.operators).terminate()


class OperatorPaused(Fault):
    """SIGSTOP, and later SIGCONT: a machine that swaps or migrates. The other replica takes over meanwhile, mostly."""

    weight = 2

    def strike(self, world: World, rng: Random) -> bool:
        operator = rng.choice(world.operators)
        if not operator.pause():
            return False
        world.later(rng.uniform(5, world.longest_pause_s), operator.resume)
        return True


class ApiServerKilled(Fault):
    """The API server is away for a moment."""

    def strike(self, world: World, rng: Random) -> bool:
        world.plane.kill("apiserver")
        world.later(rng.uniform(0, 3), lambda: world.plane.bring_back("apiserver"))
        return True


class EtcdKilled(Fault):
    """The API server stays, and cannot store or read anything."""

    def strike(self, world: World, rng: Random) -> bool:
        world.plane.kill("etcd")
        world.later(rng.uniform(0, 3), lambda: world.plane.bring_back("etcd"))
        return True


class PodDeleted(Fault):
    """As by `kubectl delete pod`, in one case of three with --force."""

    weight = 8

    def strike(self, world: World, rng: Random) -> bool:
        found = world.random_pod(rng)
        if found is None:
            return False
        options = {"gracePeriodSeconds": 0} if rng.random() < 0.3 else {}
        return world.call("DELETE", f"/api/v1/namespaces/{found[0]}/pods/{found[1]}", options) is not None


class PodEvicted(Fault):
    """By the Eviction API, as in a drain of a node."""

    weight = 6

    def strike(self, world: World, rng: Random) -> bool:
        found = world.random_pod(rng)
        if found is None:
            return False
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": found[1], "namespace": found[0]}}
        return world.call("POST", f"/api/v1/namespaces/{found[0]}/pods/{found[1]}/eviction", body) is not None


class NodeVanished(Fault):
    """A node is deleted, and another one of its name joins later."""

    def strike(self, world: World, rng: Random) -> bool:
        name = rng.choice(world.plane.nodes())
        if world.call("DELETE", f"/api/v1/nodes/{name}") is None:
            return False
        world.later(rng.uniform(1, 15), lambda: world.must_create_node(name))
        return True


class LeaseDeleted(Fault):
    """The Lease of the leader is deleted under its hands."""

    weight = 2

    def strike(self, world: World, rng: Random) -> bool:  # noqa: ARG002 - as all others
        return world.call("DELETE", world.lease_path) is not None


class RunEdited(Fault):
    """A run is suspended, and resumed later; or gets another timeout."""

    weight = 3

    def strike(self, world: World, rng: Random) -> bool:
        found = world.random_run(rng, lambda case: case.may_be_edited)
        if found is None:
            return False
        if rng.random() < 0.5:
            return world.patch("flowruns", *found, {"spec": {"timeout": f"{rng.randint(2, 9)}h"}})
        if not world.patch("flowruns", *found, {"spec": {"suspend": True}}):
            return False
        world.later(rng.uniform(0.5, 5), lambda: world.must_patch("flowruns", *found, {"spec": {"suspend": False}}))
        return True


class RunDeleted(Fault):
    """A run is deleted with all that belongs to it."""

    weight = 2

    def strike(self, world: World, rng: Random) -> bool:
        found = world.random_run(rng, lambda case: case.may_be_deleted)
        return found is not None and world.delete("flowruns", *found)


class FlowEdited(Fault):
    """A Flow gets another spec; its unfinished runs keep theirs."""

    weight = 2

    def strike(self, world: World, rng: Random) -> bool:
        found = world.random_flow(rng)
        if found is None:
            return False
        return world.patch("flows", *found, {"spec": {"description": f"edited {rng.random()}"}})


class FlowReplaced(Fault):
    """A Flow is deleted, and created again later; its runs continue, and those that have not begun wait."""

    def strike(self, world: World, rng: Random) -> bool:
        found = world.random_flow(rng)
        if found is None or not world.delete("flows", *found):
            return False
        world.later(rng.uniform(0.2, 4), lambda: world.must_create_flow(*found))
        return True


class WatchesCut(Fault):
    """Every watch of an operator breaks, as when a load balancer is restarted."""

    weight = 3

    def strike(self, world: World, rng: Random) -> bool:
        rng.choice(world.operators).cut_streams()
        return True


class RequestsBroken(Fault):
    """Requests of an operator fail, hang, or succeed without an answer. Each of them counts as a fault."""

    weight = 14

    def strike(self, world: World, rng: Random) -> bool:
        matches = rng.choice((_is_write, _is_write, _is_create, _is_status_patch, _is_read, _is_lease, _is_anything))
        what: dict[str, Any] = rng.choice(
            (
                {"cut": True},
                {"lose_reply": True},
                {"lose_reply": True},
                {"hang": True},
                {"status": HTTPStatus.TOO_MANY_REQUESTS, "reason": "TooManyRequests", "headers": {"Retry-After": "1"}},
                {"status": HTTPStatus.INTERNAL_SERVER_ERROR, "reason": "InternalError"},
                {"status": HTTPStatus.SERVICE_UNAVAILABLE, "reason": "ServiceUnavailable"},
                {"status": HTTPStatus.GATEWAY_TIMEOUT, "reason": "Timeout"},
            )
        )
        return rng.choice(world.operators).break_requests(matches, rng.randint(1, 8), **what)


def _is_write(seen: Seen) -> bool:
    return seen.method != "GET" and "/leases" not in seen.path


def _is_create(seen: Seen) -> bool:
    return seen.method == "POST" and not seen.path.endswith(("/leases", "/events"))


def _is_status_patch(seen: Seen) -> bool:
    return seen.method == "PATCH" and seen.path.endswith("/status")


def _is_read(seen: Seen) -> bool:
    return seen.method == "GET"


def _is_lease(seen: Seen) -> bool:
    return "/leases" in seen.path


def _is_anything(_: Seen) -> bool:
    return True


FAULTS: tuple[Fault, ...] = (
    OperatorKilled(),
    OperatorTerminated(),
    OperatorPaused(),
    ApiServerKilled(),
    EtcdKilled(),
    PodDeleted(),
    PodEvicted(),
    NodeVanished(),
    LeaseDeleted(),
    RunEdited(),
    RunDeleted(),
    FlowEdited(),
    FlowReplaced(),
    WatchesCut(),
    RequestsBroken(),
)
