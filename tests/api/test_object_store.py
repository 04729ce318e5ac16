"""Results in an object store that speaks S3: a real server, started by the test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.errors import ResultError
from penstock.runner.results import decode, encode
from penstock.runner.storage import NotStoredError, UnreachableError, fetch, storage
from tests.cluster import binaries

pytestmark = pytest.mark.api

BIG = [f"text {number}" for number in range(10_000)]
READY_S = 60


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """The URL of a server with a bucket `results`."""
    (tmp_path / "data" / "results").mkdir(parents=True)
    (tmp_path / "meta").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "ROOT_ACCESS_KEY": "user", "ROOT_SECRET_KEY": "password"}
    command = [str(binaries.binary("versitygw")), "--port", f"127.0.0.1:{port}", "posix"]
    with subprocess.Popen(
        [*command, "--sidecar", str(tmp_path / "meta"), str(tmp_path / "data")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            # It prints its addresses once it listens there.
            line = next((line for line in server.stdout if f":{port}" in line), None)
            assert line, "the server has ended"
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


@pytest.fixture
def results(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL for results in it, which the environment is set to."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "user")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "password")
    monkeypatch.setenv("PENSTOCK_STORAGE", "s3://results/team/penstock/")
    return "s3://results/team/penstock"


def test_a_big_result_is_stored_under_its_hash_and_read_back(results: str):
    outputs = encode(BIG, serializer=None, storage=storage(), who="task 'make'")

    stored = outputs["stored"]
    assert outputs["result"] == {"type": "list", "length": 10_000}
    assert stored["url"] == f"{results}/results/{stored['sha256'][:2]}/{stored['sha256']}.json"
    assert decode(outputs) == BIG
    assert encode(BIG, serializer=None, storage=storage(), who="task 'make'") == outputs


def test_what_was_replaced_in_the_store_is_refused(results: str):
    outputs = encode(BIG, serializer=None, storage=storage(), who="task 'make'")
    where = storage()
    assert where is not None
    where.write(outputs["stored"]["url"].removeprefix(f"{results}/"), b"evil")

    with pytest.raises(ResultError, match="its hash differs"):
        decode(outputs)


def test_a_missing_result_differs_from_an_unreachable_storage(
    results: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    with pytest.raises(NotStoredError, match=f"{results}/nothing not found"):
        fetch(f"{results}/nothing")

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(
        UnreachableError, match=f"cannot read the result in {results}/nothing: .*(403|Signature|denied)"
    ):
        fetch(f"{results}/nothing")

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "password")
    shutil.rmtree(tmp_path / "data" / "results")
    where = storage()
    assert where is not None
    with pytest.raises(UnreachableError) as refused:
        where.write("some/place", b"x")
    assert "cannot write the result to s3://results/team/penstock/some/place" in str(refused.value)
    assert "\n" not in str(refused.value)
