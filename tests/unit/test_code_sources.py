"""How the code of a Python flow comes to a Pod: by a ConfigMap, from Git, as a zip."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from penstock.authoring.deployments.deployment import read_deployment
from penstock.authoring.pods.code_source import read_source
from penstock.cli.deployment.code_map import LIMIT_BYTES, build_code_map, check_size, read_code
from penstock.cli.deployment.code_repository import pin
from penstock.cli.deployment.compile import load_flow
from penstock.cli.deployment.deployment import Code, build_manifests
from penstock.errors import CommandError

COMMIT = "0123456789" * 4


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a flow, whose modules are forgotten in the end."""
    folder = tmp_path / "flows"
    folder.mkdir()
    (folder / "shop_flow.py").write_text(
        textwrap.dedent(
            """
            from penstock import flow, task
            from shop_tools.factor import FACTOR

            @task
            def double() -> int:
                return 21 * FACTOR

            @flow
            def shop() -> int:
                return double()
            """
        )
    )
    (folder / "shop_tools").mkdir()
    (folder / "shop_tools" / "__init__.py").write_text("")
    (folder / "shop_tools" / "factor.py").write_text("FACTOR = 2\n")
    (folder / "other.py").write_text("raise RuntimeError\n")
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith("shop_"):
            del sys.modules[name]


@pytest.fixture
def manifests(folder):
    """Builds what is to be in a cluster, for an image and a source of the code."""

    def manifests(**code):
        flow = load_flow(f"{folder}/shop_flow.py:shop")
        return build_manifests(read_deployment(flow, None, {}), Code(image="busybox", **code), None)

    return manifests


def run(manifests, **environment):
    """Run the only task of a Flow as its Pod would, in an empty folder."""
    flow = manifests.flow["spec"]
    env = {each["name"]: each["value"] for each in (*flow["defaults"].get("env", ()), *flow["tasks"][0]["env"])}
    env["PENSTOCK_VALUES"] = json.dumps(["run", "uid"])
    return subprocess.run(
        [sys.executable, *flow["tasks"][0]["command"][1:]],
        env={**os.environ, **env, "PENSTOCK_OUTPUTS": environment["outputs"], **environment.get("more", {})},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    return subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(folder):
    """A Git repository with that folder in it."""
    top = folder.parent
    git(top, "init", "--quiet", "--initial-branch=main")
    git(top, "add", "flows")
    git(top, "commit", "--quiet", "-m", "first")
    git(top, "tag", "-a", "v1", "-m", "one")
    return top


# In a ConfigMap


def test_inline_code_is_the_file_and_what_it_imports_from_beside_it(folder):
    flow = load_flow(f"{folder}/shop_flow.py:shop")
    modules = read_code(flow)
    assert [each.place for each in modules] == ["shop_flow.py", "shop_tools/__init__.py", "shop_tools/factor.py"]
    code_map = build_code_map("shop", modules)
    assert sorted(code_map["data"]) == ["shop_flow.py", "shop_tools.__init__.py", "shop_tools.factor.py"]


def test_other_code_has_another_name_and_the_same_code_the_same(folder):
    modules = read_code(load_flow(f"{folder}/shop_flow.py:shop"))
    name = build_code_map("shop", modules)["metadata"]["name"]
    assert build_code_map("shop", list(modules))["metadata"]["name"] == name
    changed = [each._replace(text=each.text + "#") for each in modules]
    assert build_code_map("shop", changed)["metadata"]["name"] != name


def test_code_that_does_not_fit_is_refused_with_its_size(folder):
    (module, *_) = read_code(load_flow(f"{folder}/shop_flow.py:shop"))
    check_size([module._replace(text="x" * LIMIT_BYTES)])
    with pytest.raises(
        CommandError, match=r"has 1,048,577 bytes \(shop_flow.py alone 1,048,577\).* 1,048,576: use an image"
    ):
        check_size([module._replace(text="x" * (LIMIT_BYTES + 1))])


def test_code_is_mounted_beside_what_the_flow_says_of_its_pods(folder, manifests):
    file = folder / "shop_flow.py"
    template = (
        '@flow(pod_template={"spec": {"volumes": [{"name": "a"}], "containers": [{"name": "main", "tty": True}]}})'
    )
    file.write_text(file.read_text().replace("@flow", template))
    spec = manifests(is_inline=True).flow["spec"]["defaults"]["podTemplate"]["spec"]
    assert [each["name"] for each in spec["volumes"]] == ["a", "penstock-code"]
    assert [sorted(each) for each in spec["containers"]] == [["name", "tty", "volumeMounts"]]


@pytest.fixture
def mounted(manifests, tmp_path):
    """Mounts inline code as a kubelet does: by links into a folder that is replaced as a whole."""

    def mounted(**changes):
        made = manifests(is_inline=True)
        (source,) = made.flow["spec"]["defaults"]["podTemplate"]["spec"]["volumes"]
        data = made.code_map["data"] | changes
        folder = tmp_path / "mounted"
        for item in source["configMap"]["items"]:
            path = folder / "..2026_11_30" / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(data[item["key"]])
        (folder / "..data").symlink_to("..2026_11_30")
        for each in (folder / "..2026_11_30").iterdir():
            (folder / each.name).symlink_to(f"..data/{each.name}")
        return made, folder

    return mounted


def test_a_pod_runs_the_code_that_is_mounted(mounted, tmp_path):
    made, folder = mounted()
    done = run(made, outputs=str(tmp_path / "outputs"), more={"PENSTOCK_CODE": str(folder)})
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "outputs").read_text())["result"] == 42


def test_a_pod_without_a_folder_for_temporary_files_runs_it_too(mounted, tmp_path):
    made, folder = mounted()
    nowhere = "import tempfile; tempfile._get_default_tempdir = lambda: (_ for _ in ()).throw(FileNotFoundError())"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(nowhere)
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    more = {"PENSTOCK_CODE": str(folder), "PYTHONPATH": path}
    done = run(made, outputs=str(tmp_path / "outputs"), more=more)
    assert done.returncode == 0, done.stderr


def test_code_that_was_replaced_is_not_imported(mounted, tmp_path):
    made, folder = mounted(**{"shop_tools.factor.py": "print('stolen')\nFACTOR = 100\n"})
    done = run(made, outputs=str(tmp_path / "outputs"), more={"PENSTOCK_CODE": str(folder)})
    assert done.returncode == 1
    assert "stolen" not in done.stdout
    assert f"penstock: {folder} is not the code that was deployed: its SHA-256 differs" in done.stderr


def test_code_that_is_not_mounted_is_reported(manifests, tmp_path):
    made = manifests(is_inline=True)
    done = run(made, outputs=str(tmp_path / "outputs"), more={"PENSTOCK_CODE": str(tmp_path / "nothing")})
    assert done.returncode == 1
    assert "nothing is not the code that was deployed" in done.stderr


# From Git


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("git+https://example.com/a/b.git", ("https://example.com/a/b.git", "HEAD", "")),
        ("git+https://example.com/a/b@v1.2#subdirectory=flows", ("https://example.com/a/b", "v1.2", "flows")),
        ("git+ssh://git@example.com/a/b@feature/x", ("ssh://git@example.com/a/b", "feature/x", "")),
    ],
)
def test_a_source_is_read_as_pip_reads_it(text, want):
    assert read_source(text) == want


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://example.com/a", "must be git"),
        ("git+example.com/a", "must be git"),
        ("git+ext://sh/a", "unknown scheme ext"),
        ("git+https://me:secret@example.com/a", "the URL contains a password or a token"),
        ("git+https://secret@example.com/a", "the URL contains a password or a token"),
        ("git+http://secret@example.com/a", "the URL contains a password or a token"),
        ("git+ssh://git:secret@example.com/a", "the URL contains a password or a token"),
        ("https://secret@example.com/a", "must be git"),
        ("git+htps://secret@example.com/a", "unknown scheme htps"),
        ("git+https://example.com/a#subdirectory=../..", "must be a folder of the repository"),
        ("git+https://example.com/a#subdirectory=a/../../b", "must be a folder of the repository"),
        ("git+https://example.com/a#subdirectory=%2e%2e", "must be a folder of the repository"),
    ],
)
def test_an_invalid_source_is_refused_and_no_secret_in_it_is_repeated(text, message):
    with pytest.raises(CommandError, match=message) as refused:
        read_source(text)
    assert "secret" not in str(refused.value)


def test_branches_and_tags_are_pinned_to_their_commits(repository):
    head = git(repository, "rev-parse", "HEAD")
    for ref in ("main", "v1", "HEAD"):
        assert pin(read_source(f"git+file://{repository}@{ref}")).ref == head
    assert pin(read_source(f"git+file://{repository}@{COMMIT}")).ref == COMMIT, "a commit is taken as it is"


@pytest.mark.parametrize(("ref", "message"), [("nothing", "has no branch or tag nothing"), ("--help", "has no branch")])
def test_a_ref_that_does_not_exist_is_reported(repository, ref, message):
    with pytest.raises(CommandError, match=message):
        pin(read_source(f"git+file://{repository}@{ref}"))


def test_a_repository_that_does_not_exist_is_reported(tmp_path):
    with pytest.raises(CommandError, match="cannot read"):
        pin(read_source(f"git+file://{tmp_path}/nothing@main"))


def test_a_pod_runs_the_commit_that_was_deployed(repository, folder, manifests, tmp_path):
    made = manifests(source=f"git+file://{repository}@main")
    (folder / "shop_tools" / "factor.py").write_text("FACTOR = 100\n")
    git(repository, "commit", "--quiet", "-a", "-m", "second")
    done = run(made, outputs=str(tmp_path / "outputs"))
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "outputs").read_text())["result"] == 42


def test_a_pod_without_its_repository_fails_so_that_it_may_be_tried_again(repository, manifests, tmp_path):
    made = manifests(source=f"git+file://{repository}@main")
    (repository / ".git").rename(repository / "gone")
    done = run(made, outputs=str(tmp_path / "outputs"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("penstock: cannot fetch the code: git ")


def test_a_pod_without_git_says_so(repository, manifests, tmp_path):
    made = manifests(source=f"git+file://{repository}@main")
    done = run(made, outputs=str(tmp_path / "outputs"), more={"PATH": "/nowhere"})
    assert done.returncode == 1
    assert "git is required to fetch the code" in done.stderr


def test_a_pod_takes_no_code_from_outside_the_repository(repository, folder, manifests, tmp_path):
    (folder / "shop_flow.py").rename(tmp_path / "shop_flow.py")
    git(repository, "rm", "--quiet", "-r", "--cached", "flows")
    (repository / "link").symlink_to(tmp_path)
    git(repository, "add", "link")
    git(repository, "commit", "--quiet", "-m", "a link that leads outside")
    (tmp_path / "shop_flow.py").rename(folder / "shop_flow.py")
    made = manifests(source=f"git+file://{repository}@main#subdirectory=link")
    done = run(made, outputs=str(tmp_path / "outputs"))
    assert done.returncode == 1
    assert "folder link of" in done.stderr
    assert "is outside the repository" in done.stderr


# As a zip


def test_a_pod_runs_the_zip_that_was_put_into_a_folder(manifests, folder, tmp_path):
    made = manifests(source=str(tmp_path / "store"))
    assert not (tmp_path / "store").exists(), "a dry run would have left it so"
    made.archive.upload()
    (folder / "shop_tools" / "factor.py").write_text("FACTOR = 100\n")
    done = run(made, outputs=str(tmp_path / "outputs"))
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "outputs").read_text())["result"] == 42


def test_a_zip_that_was_changed_is_not_run(manifests, tmp_path):
    made = manifests(source=str(tmp_path / "store"))
    made.archive.upload()
    (file,) = (tmp_path / "store" / "code").glob("*.zip")
    file.write_bytes(file.read_bytes() + b" ")
    done = run(made, outputs=str(tmp_path / "outputs"))
    assert done.returncode == 1
    assert "is not the code that was deployed" in done.stderr


def test_a_store_of_no_known_kind_is_refused(manifests):
    with pytest.raises(CommandError, match="--source ftp:"):
        manifests(source="ftp://example.com")


# Nowhere


def test_without_an_image_the_code_must_come_otherwise(folder):
    flow = load_flow(f"{folder}/shop_flow.py:shop")
    with pytest.raises(CommandError, match="no image: use --image with an image that contains the code"):
        build_manifests(read_deployment(flow, None, {}), Code(), None)
    with pytest.raises(CommandError, match="use --image with an image that contains Python and penstock"):
        build_manifests(read_deployment(flow, None, {}), Code(is_inline=True), None)
