"""The operators of all tests here run with the rights that the chart gives; each right is used by one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.account import used_rights
from tests.cluster.control_plane import AUDIT_LOG

pytestmark = [pytest.mark.api, pytest.mark.last]


def test_each_right_of_the_operator_is_used(request, rights, kubeconfig):
    folder = Path(__file__).parent
    collected = {item.path for item in request.session.items}
    if request.config.option.keyword or not collected.issuperset(folder.glob("test_*.py")):
        pytest.skip("needs the whole of tests/api")
    if not (kubeconfig.parent / AUDIT_LOG).exists():
        pytest.skip("this cluster keeps no audit log")

    assert rights - used_rights(kubeconfig) == set()
