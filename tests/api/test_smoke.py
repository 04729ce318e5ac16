"""What `helm test` asks an installation."""

import pytest
from kubernetes import client as kubernetes_client

from penstock_operator.helm_test import fault_of_dry_run, fault_of_readiness, fault_of_webhook

pytestmark = pytest.mark.api


@pytest.fixture
def custom_objects(api):
    return kubernetes_client.CustomObjectsApi(api)


@pytest.mark.usefixtures("crds")
def test_a_sound_flow_is_found_to_pass(custom_objects, namespace):
    assert fault_of_dry_run(custom_objects, namespace) == ""


@pytest.mark.usefixtures("crds")
def test_a_webhook_that_nobody_serves_is_found_out(custom_objects, namespace):
    assert "the webhook was not asked" in fault_of_webhook(custom_objects, namespace)


def test_an_operator_that_does_not_answer_is_found_out():
    # Port 1 of this machine: nobody listens there.
    assert "no operator says at http://127.0.0.1:1/readyz" in fault_of_readiness("http://127.0.0.1:1/readyz")
