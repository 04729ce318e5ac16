"""Random manifests against a running operator; `make fuzz` runs thousands."""

from __future__ import annotations

import pytest

from tests.fuzz.campaign import Campaign
from tests.fuzz.manifests import draw
from tests.fuzz.report import Report

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

SEED = 1
COUNT = 300


def test_each_of_300_random_manifests_is_refused_with_a_field_path_or_comes_to_a_documented_end(
    api, connection, kubeconfig, tmp_path
):
    report = Report(tmp_path / "findings", SEED)
    with Campaign(api, connection, kubeconfig, tmp_path, report) as campaign:
        campaign.run(draw(SEED, COUNT), COUNT, may_narrow=False)
    print(report.summary())
    assert not report.findings, report.summary()
