"""Ports and addresses of test clusters."""

import dataclasses
import socket
from pathlib import Path

import pytest

from tests.cluster.cache import cluster_dir
from tests.cluster.errors import ClusterError
from tests.cluster.plan import FIRST_NET, LAST_NET, PORT_NAMES, Plan, choose_net, choose_ports, make_plan, saved_plans


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_CACHE", str(tmp_path))


def plan_of(name: str, kind: str = "fake") -> Plan:
    plan = make_plan(name=name, kind=kind, state_dir=cluster_dir(name), nodes=1, networks=[])
    plan.save()
    return plan


def test_a_name_gets_the_same_ports_each_time():
    assert choose_ports("one", taken=set()) == choose_ports("one", taken=set())


def test_ports_that_another_cluster_wrote_down_are_not_taken_again():
    first = choose_ports("one", taken=set())
    second = choose_ports("one", taken=set(first.values()))

    assert set(first) == set(second) == set(PORT_NAMES)
    assert not set(first.values()) & set(second.values())


def test_a_port_in_use_moves_the_whole_block():
    first = choose_ports("one", taken=set())
    with socket.create_server(("127.0.0.1", first["etcd"])):
        second = choose_ports("one", taken=set())

    assert not set(first.values()) & set(second.values())


def test_a_network_that_a_route_overlaps_is_not_chosen():
    first = choose_net("one", networks=[], taken=set())
    second = choose_net("one", networks=[f"10.{first}.7.0/24"], taken=set())

    assert first != second


def test_a_route_to_everything_private_leaves_no_network():
    with pytest.raises(ClusterError, match="overlaps with a route"):
        choose_net("one", networks=["10.0.0.0/8"], taken=set())


def test_two_clusters_get_networks_of_their_own_until_there_are_none():
    taken: set[int] = set()
    for _ in range(FIRST_NET, LAST_NET + 1):
        taken.add(choose_net("one", networks=[], taken=taken))

    assert taken == set(range(FIRST_NET, LAST_NET + 1))
    with pytest.raises(ClusterError):
        choose_net("one", networks=[], taken=taken)


def test_a_plan_is_read_back_as_it_was_saved():
    plan = plan_of("one")

    assert Plan.load(plan.state_dir) == plan
    assert list(saved_plans()) == [plan]


def test_a_plan_that_was_cut_short_is_not_a_plan(tmp_path: Path):
    plan = plan_of("one")
    (plan.state_dir / "cluster.json").write_text('{"name": "one"')

    assert Plan.load(plan.state_dir) is None
    with pytest.raises(ClusterError, match="run `down --name one`"):
        Plan.must_load(plan.state_dir)


def test_plans_of_one_cache_share_no_port_and_no_network():
    # The same first choice for both, as if their names had the same hash.
    first = plan_of("one")
    second = make_plan(name="one", kind="bare", state_dir=cluster_dir("two"), nodes=1, networks=[])
    second = dataclasses.replace(second, name="two")
    third = make_plan(name="two", kind="bare", state_dir=cluster_dir("two"), nodes=1, networks=[])

    assert first.ports == second.ports, "a cluster does not stand in its own way"
    assert not set(first.ports.values()) & set(third.ports.values())
    assert first.net != third.net


def test_addresses_of_pods_services_and_the_node_do_not_overlap():
    plan = plan_of("one", kind="bare")

    assert plan.host == plan.node_address == f"10.{plan.net}.255.1"
    assert plan.pod_cidr == f"10.{plan.net}.0.0/17"
    assert plan.service_cidr == f"10.{plan.net}.128.0/18"
    assert plan.server.startswith(f"https://{plan.node_address}:")
    assert len(plan.node_bridge) <= 15 >= len(plan.pod_bridge)


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "../a", "a" * 41])
def test_a_name_that_could_be_no_part_of_a_path_is_refused(name):
    with pytest.raises(ClusterError, match="lower-case"):
        cluster_dir(name)
