"""What `helm test` checks in an installation."""

import pytest
from kubernetes import client as kubernetes_client

from penstock_operator.helm_test import fault_of_dry_run, fault_of_readiness, fault_of_webhook

pytestmark = pytest.mark.api


@pytest.fixture
def custom_objects(api):
    return kubernetes_client.CustomObjectsApi(api)


@pytest.mark.usefixtures("crds")
def test_a_valid_flow_is_accepted(custom_objects, namespace):
    assert fault_of_dry_run(custom_objects, namespace) == ""


@pytest.mark.usefixtures("crds")
def test_a_webhook_that_no_replica_serves_is_found(custom_objects, namespace):
    assert "the webhook was not called" in fault_of_webhook(custom_objects, namespace)


def test_an_operator_that_does_not_answer_is_found():
    # Port 1 of this machine: no process listens there.
    assert "no operator is ready at http://127.0.0.1:1/readyz" in fault_of_readiness("http://127.0.0.1:1/readyz")
