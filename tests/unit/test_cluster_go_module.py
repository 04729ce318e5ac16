"""The modules that the binaries are built from."""

import dataclasses
import shutil

import pytest

from tests.cluster import go_module
from tests.cluster.go_module import MODULES, module_of


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_every_module_has_a_lock_and_says_its_versions(module):
    assert (module.folder / "go.sum").is_file()
    assert module.version.startswith("v")
    assert module.go_version >= (1, 21)


def test_every_program_is_built_by_one_module():
    programs = [name for module in MODULES for name in module.programs]

    assert len(programs) == len(set(programs))
    assert all(module_of(name).programs[name] for name in programs)


def test_the_key_changes_with_the_lock_and_with_the_flags(tmp_path, monkeypatch):
    original = module_of("etcd")
    shutil.copytree(original.folder, tmp_path / "etcd")
    monkeypatch.setattr(go_module, "SOURCES", tmp_path)
    same = dataclasses.replace(original)
    assert same.key == original.key

    with (tmp_path / "etcd" / "go.sum").open("a") as file:
        file.write("\n")
    other_lock = dataclasses.replace(original)
    other_flags = dataclasses.replace(original, variables={"a.b": "c"})

    assert len({original.key, other_lock.key, other_flags.key}) == 3


def test_the_kubernetes_module_replaces_every_staging_module_with_its_own_version():
    module = module_of("kube-apiserver")
    text = (module.folder / "go.mod").read_text()
    staging = module.version.replace("v1.", "v0.", 1)

    replaced = [line.split() for line in text.splitlines() if " => " in line]

    assert replaced
    assert all(words[0] == words[2] and words[3] == staging for words in replaced)
