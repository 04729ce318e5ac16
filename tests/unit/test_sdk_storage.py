"""Where results are stored, under which name, and how."""

import pytest

from penstock import flow, runtime, task
from penstock.authoring.compilation import compile_flow
from penstock.blocks.core import Block
from penstock.blocks.system import JSON, DateTime, Secret, String
from penstock.errors import CompileError, OptionError, VariableError
from penstock.filesystems import LocalFileSystem
from penstock.serializers import (
    CompressedJSONSerializer,
    CompressedSerializer,
    JSONSerializer,
    PickleSerializer,
    Serializer,
)
from penstock.testing.utilities import prefect_test_harness


def run(body, **options):
    def scene():
        return body()

    return flow(name="scene", **options)(scene)()


def test_a_key_names_the_file_and_later_runs_use_it(tmp_path):
    calls = []

    @task(result_storage=tmp_path, result_storage_key="rows/{parameters[day]}.json", result_serializer="json")
    def rows(day):
        calls.append(day)
        return day * 2

    assert [run(lambda: (rows("a"), rows("b"), rows("a"))) for _ in range(2)] == [("aa", "bb", "aa")] * 2
    assert calls == ["a", "b"]
    assert sorted(path.name for path in (tmp_path / "rows").iterdir()) == ["a.json", "b.json"]


def test_a_key_can_name_the_runs():
    @task(result_storage_key="{flow_run.flow_name}-{task_run.task_name}")
    def load():
        return runtime.task_run.name

    assert run(lambda: (load(), load())) == ("load-0", "load-0")


@pytest.mark.parametrize("key", ["../x", "/etc/x", "{parameters[nothing]}", "{nothing}"])
def test_a_key_that_is_invalid_or_leaves_the_folder_fails_the_task(key):
    @task(result_storage_key=key)
    def load(): ...

    with pytest.raises(OptionError, match="result_storage_key="):
        run(load)


def test_the_folder_of_a_flow_is_that_of_its_tasks_and_flows(tmp_path):
    @task(result_storage_key="inner")
    def load():
        return 1

    @flow
    def child():
        return load()

    run(child, result_storage=LocalFileSystem(basepath=str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]


def test_a_saved_folder_is_found_by_its_name(tmp_path):
    LocalFileSystem(basepath=str(tmp_path)).save("mine")
    made = task(name="t", result_storage="local-file-system/mine")(lambda: 1)
    assert made.result_storage == str(tmp_path)


@pytest.mark.parametrize("storage", ["s3-bucket/main", "gcs/x", "s3://bucket", 5])
def test_a_storage_elsewhere_is_refused_with_what_to_do(storage):
    with pytest.raises(OptionError, match="must be a folder or a LocalFileSystem; in a cluster, set storage="):
        task(name="t", result_storage=storage)(lambda: 1)


@pytest.mark.parametrize(
    "serializer",
    [
        "json",
        "compressed/json",
        "compressed/pickle",
        JSONSerializer(),
        PickleSerializer(),
        CompressedSerializer(serializer="json"),
        CompressedJSONSerializer(compressionlib="bz2"),
        JSONSerializer(dumps_kwargs={"indent": 2}),
    ],
)
def test_a_result_is_read_as_it_was_written(serializer):
    calls = []

    @task(result_storage_key="x", result_serializer=serializer)
    def load():
        calls.append(1)
        return {"a": [1, 2]}

    assert run(lambda: (load(), load())) == ({"a": [1, 2]}, {"a": [1, 2]})
    assert calls == [1]


def test_a_serializer_of_the_users_own():
    class Upper(Serializer):
        type = "upper"

        def dumps(self, obj):
            return obj.upper().encode()

        def loads(self, blob):
            return blob.decode()

    load = task(name="load", result_storage_key="x", result_serializer=Upper())(lambda: "text")
    assert run(lambda: (load(), load())) == ("text", "TEXT")


def test_a_serializer_that_is_none_is_refused():
    with pytest.raises(OptionError, match=r"'compressed/json' or a serializer of penstock\.serializers"):
        task(name="t", result_serializer="xml")(lambda: 1)  # type: ignore[call-overload]  # that is the point


@task(result_storage_key="x")
def named(): ...


@task(result_serializer="compressed/json")
def compressed(): ...


@flow
def uses_named():
    named()


@flow
def uses_compressed():
    compressed()


def test_a_compiled_flow_refuses_a_name_of_a_result_and_does_not_compress():
    with pytest.raises(CompileError, match="result_storage_key of task 'named' is not supported"):
        compile_flow(uses_named, image="x")
    assert '"result_serializer":"json"' in str(compile_flow(uses_compressed, image="x")).replace(" ", "")


def test_a_secret_comes_from_the_environment_a_mounted_secret_or_a_file(tmp_path, monkeypatch):
    with pytest.raises(
        VariableError,
        match=r"Secret 'chat-token' does not exist: .*PENSTOCK_SECRET_CHAT_TOKEN.*PENSTOCK_SECRETS.*save\(",
    ):
        Secret.load("chat-token")
    Secret(value="of the file").save("chat-token")
    assert Secret.load("chat-token").get() == "of the file"
    (tmp_path / "chat-token").write_text("mounted\n")
    monkeypatch.setenv("PENSTOCK_SECRETS", str(tmp_path))
    assert Secret.load("chat-token").get() == "mounted"
    monkeypatch.setenv("PENSTOCK_SECRET_CHAT_TOKEN", "0123")
    assert Secret.load("secret/chat-token").get() == "0123"
    monkeypatch.setenv("PENSTOCK_SECRET_CHAT_TOKEN", '{"user": "u"}')
    assert Secret.load("chat-token").get() == {"user": "u"}


def test_a_secret_is_not_shown(home):
    secret = Secret(value="hidden")
    assert "hidden" not in repr(secret) + str(secret)
    secret.save("s")
    [path] = (home / "blocks" / "secret").iterdir()
    assert path.stat().st_mode & 0o077 == 0
    path.write_text('{"value": "hidden"')
    with pytest.raises(VariableError) as caught:
        Secret.load("s")
    assert "hidden" not in str(caught.value)


def test_json_texts_and_times_are_blocks(monkeypatch):
    monkeypatch.setenv("PENSTOCK_JSON_LIMITS", '{"rows": 5}')
    monkeypatch.setenv("PENSTOCK_STRING_NAME", "5")
    monkeypatch.setenv("PENSTOCK_DATETIME_START", "2026-01-02T03:04:05+00:00")
    assert JSON.load("limits").value == {"rows": 5}
    assert String.load("name").value == "5"
    assert DateTime.load("start").value.year == 2026


def test_a_block_of_the_programs_own_is_saved_and_loaded(monkeypatch):
    class Database(Block):
        host: str
        port: int = 5432

    Database(host="db").save("main")
    assert Database.load("main") == Database(host="db")
    with pytest.raises(VariableError, match="already exists: pass overwrite=True"):
        Database(host="db").save("main")
    monkeypatch.setenv("PENSTOCK_DATABASE_MAIN", '{"host": "other", "port": 1}')
    assert Database.load("main").port == 1
    Database.delete("main")


def test_a_block_is_loaded_by_its_type_and_name_from_the_class_of_all_blocks(monkeypatch):
    class Account(Block):
        user: str

    class Team(Account):
        _block_type_name = "My Team"

    Account(user="me").save("main")
    Team(user="us").save("main")
    monkeypatch.setenv("PENSTOCK_SECRET_TOKEN", "hunter2")
    assert Block.load("account/main") == Account(user="me")
    assert Account.load("my-team/main") == Team(user="us")
    assert Account.load("account/main") == Account(user="me")
    assert Block.load("secret/token").get() == "hunter2"  # type: ignore[attr-defined]  # a Secret
    with pytest.raises(VariableError, match="no block has the type 'acount': import the module of its class first"):
        Block.load("acount/main")


@pytest.mark.parametrize("name", ["../x", "", ".x", "a b"])
def test_the_name_of_a_block_can_not_leave_its_folder(name):
    with pytest.raises(VariableError, match="invalid name of a block"):
        String.load(name)


def test_files_of_a_folder_are_read_and_written_inside_of_it(tmp_path):
    folder = LocalFileSystem(basepath=str(tmp_path))
    folder.write_path("a/b.txt", b"x")
    assert folder.read_path("a/b.txt") == b"x"
    with pytest.raises(VariableError, match="is not inside of"):
        folder.read_path("../x")


def test_the_harness_of_tests_gives_a_home_of_its_own(home):
    with prefect_test_harness():
        String(value="x").save("s")
    with pytest.raises(VariableError, match="does not exist"):
        String.load("s")
    assert not (home / "blocks").exists()
