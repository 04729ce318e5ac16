import pytest

from penstock.cli.manifests.params import read_params, read_params_file
from penstock.errors import CommandError

DECLARED = {"day": "string", "count": "integer", "deep": "boolean", "regions": "array", "ratio": "number"}


@pytest.mark.parametrize(
    ("typed", "want"),
    [
        pytest.param("day=2014-03-05", {"day": "2014-03-05"}, id="a string is taken as it is typed"),
        pytest.param("day=42", {"day": "42"}, id="a string that looks like a number stays a string"),
        pytest.param('day="x"', {"day": '"x"'}, id="the quotes of a string are part of it"),
        pytest.param("day=a=b", {"day": "a=b"}, id="only the first equals sign divides"),
        pytest.param("day=", {"day": ""}, id="nothing is an empty string"),
        pytest.param("count=42", {"count": 42}, id="a number is JSON"),
        pytest.param("count=9223372036854775807", {"count": 2**63 - 1}, id="a number may have 64 bits"),
        pytest.param("ratio=18446744073709551616", {"ratio": 2.0**64}, id="a float may have more"),
        pytest.param("deep=true", {"deep": True}, id="a boolean is JSON"),
        pytest.param('regions=["eu", 1]', {"regions": ["eu", 1]}, id="an array is JSON"),
    ],
)
def test_values_are_read_by_the_type_of_the_param(typed, want):
    assert read_params([typed], DECLARED) == want


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        pytest.param("count=null", "cannot be null, because Kubernetes drops it: omit the param", id="null"),
        pytest.param("count", "KEY=VALUE", id="a word without an equals sign"),
        pytest.param("cuont=1", 'did you mean "count"', id="a misspelt param is answered with the nearest"),
        pytest.param("zzz=1", "day, count, deep, regions", id="an unknown param is answered with all there are"),
        pytest.param(
            "deep=yes", "boolean, for example true", id="a value that is not JSON is answered with an example"
        ),
        pytest.param("count=NaN", "the value is not JSON", id="no number"),
        pytest.param("count=-99999999999999999999", "-99999999999999999999 does not fit into 64 bits", id="bits"),
        pytest.param("regions=[9223372036854775808]", "9223372036854775808 does not fit", id="bits in an array"),
        pytest.param("count=1e400", "the value is not JSON", id="a number that is too large"),
        pytest.param('regions=["\\ud83d"]', "the value is not JSON", id="half of an emoji"),
        pytest.param("regions=" + "[" * 100_000, "the value is not JSON", id="too many brackets"),
        pytest.param("day=\udcff", "the value is not UTF-8", id="bytes that are not text"),
    ],
)
def test_invalid_assignments_are_rejected_with_what_to_type(typed, message):
    with pytest.raises(CommandError, match=message):
        read_params([typed], DECLARED)


def test_a_param_that_is_given_twice_is_refused():
    with pytest.raises(CommandError, match="-p count=2: count is given twice"):
        read_params(["count=1", "count=2"], DECLARED)


def test_null_in_a_file_is_refused(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("count: null\n")
    with pytest.raises(CommandError, match="count: a param cannot be null"):
        read_params_file(str(file), DECLARED)
