"""What of pip's settings an image build gets."""

import pytest

from tests.cluster.package_index import pip_settings


@pytest.mark.parametrize(
    ("listing", "want"),
    [
        pytest.param("", {}, id="a machine without settings has none to lend"),
        pytest.param("global.timeout='60'", {"timeout": "60"}, id="the network's settings are lent"),
        pytest.param(":env:.index-url='one'\nglobal.index-url='two'", {"index-url": "one"}, id="a variable wins"),
        pytest.param("global.index-url='two'\n:env:.index-url='one'", {"index-url": "one"}, id="in whatever order"),
        pytest.param("global.cert='/a'\n:env:.find-links='/b'", {}, id="paths of this machine are not lent"),
        pytest.param("global.extra-index-url='a=b'", {"extra-index-url": "a=b"}, id="a value may hold an equals sign"),
    ],
)
def test_settings_are_read_from_what_pip_lists(listing, want):
    assert pip_settings(listing) == want
