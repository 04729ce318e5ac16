"""What the pages for people who come from elsewhere tell them to apply: taken as it stands, and run by the operator.

The Pods are fake, so what the tasks give out is told here; tests/unit/test_example_scripts.py shows that their scripts
give out just that.
"""

from __future__ import annotations

import copy

import pytest

from penstock.api import names
from tests.api.scene import fake
from tests.pages import find, objects

pytestmark = pytest.mark.api

PAGES = ["from-airflow.md", "from-argo.md", "from-cronjob.md"]


@pytest.mark.parametrize("page", PAGES)
def test_every_object_of_a_page_is_taken_by_the_api_server_to_the_last_field(page, scene):
    found = objects(page)
    assert found
    for body in found:
        scene.custom.create_namespaced_custom_object(
            *(names.GROUP, names.VERSION, scene.namespace, f"{body['kind'].lower()}s", body), field_validation="Strict"
        )


@pytest.mark.parametrize(
    ("page", "params", "given", "want"),
    [
        pytest.param("from-cronjob.md", {"day": "2026-11-22"}, {}, {}, id="the dump of the CronJob"),
        pytest.param(
            "from-argo.md",
            {},
            {"list": '{"numbers": [1, 2, 3]}', "square": '{"square": 4}', "sum": '{"total": 14}'},
            {"total": 14},
            id="the squares of the Workflow",
        ),
        pytest.param(
            "from-airflow.md",
            {"day": "2026-11-22"},
            {"list-files": '{"files": ["2026-11-22/eu.csv", "2026-11-22/us.csv"]}', "load": '{"rows": 17}'},
            {"rows": [{"rows": 17}, {"rows": 17}]},
            id="the orders of the DAG",
        ),
    ],
)
def test_the_flow_of_a_page_runs_to_its_end(page, params, given, want, scene, operator):
    body = copy.deepcopy(find(page, "Flow"))
    for task in body["spec"]["tasks"]:
        if outputs := given.get(task["name"]):
            task["podTemplate"] = fake(outputs=outputs)
    name = body["metadata"]["name"]
    scene.create("Flow", name, body["spec"])
    scene.start_of(name, params=params)
    status = scene.finish()
    assert status["state"] == "Completed"
    assert status.get("outputs", {}) == want
