"""The Go modules that the binaries of a cluster are built from: `go/NAME/go.mod`, `go.sum`."""

import hashlib
import platform
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.cluster.cache import cache_dir

SOURCES = Path(__file__).parent / "go"


@dataclass(frozen=True)
class GoModule:
    """One `go.mod` with the programs to build from it.

    Attributes:
        name: its folder in `go/`.
        programs: the name of each binary and the path of its package.
        version_of: the module whose version the binaries report.
        variables: string variables to set at link time; `{version}` becomes the version.
    """

    name: str
    programs: dict[str, str]
    version_of: str
    variables: dict[str, str]

    @property
    def folder(self) -> Path:
        return SOURCES / self.name

    @cached_property
    def version(self) -> str:
        """The version that `go.mod` requires, such as `v1.35.4`."""
        found = re.search(rf"\b{re.escape(self.version_of)} (v\S+)", (self.folder / "go.mod").read_text())
        assert found, f"{self.folder}/go.mod does not require {self.version_of}"
        return found.group(1)

    @cached_property
    def go_version(self) -> tuple[int, int]:
        """The least version of Go that builds it."""
        found = re.search(r"^go (\d+)\.(\d+)", (self.folder / "go.mod").read_text(), re.MULTILINE)
        assert found, f"{self.folder}/go.mod has no go line"
        return int(found.group(1)), int(found.group(2))

    @property
    def build_flags(self) -> list[str]:
        linked = ["-s", "-w"]
        linked += [f"-X {name}={value.format(version=self.version)}" for name, value in self.variables.items()]
        return ["-mod=readonly", "-buildvcs=false", "-trimpath", f"-ldflags={' '.join(linked)}"]

    @cached_property
    def key(self) -> str:
        """A hash of all that decides what the binaries are."""
        digest = hashlib.sha256()
        for file in ("go.mod", "go.sum"):
            digest.update((self.folder / file).read_bytes())
        digest.update(" ".join([platform.system(), platform.machine(), *self.build_flags]).encode())
        return digest.hexdigest()[:16]

    @property
    def built(self) -> Path:
        """The folder of its binaries, complete or not."""
        return cache_dir() / "build" / f"{self.name}-{self.key}"


_KUBERNETES = "k8s.io/component-base/version"

MODULES = (
    GoModule(
        name="kubernetes",
        programs={
            name: f"k8s.io/kubernetes/cmd/{name}"
            for name in (
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kubectl",
                "kubelet",
                "kube-proxy",
            )
        },
        version_of="k8s.io/kubernetes",
        variables={
            f"{_KUBERNETES}.gitVersion": "{version}",
            f"{_KUBERNETES}.gitMajor": "1",
            f"{_KUBERNETES}.gitMinor": "35",
            f"{_KUBERNETES}.gitTreeState": "clean",
        },
    ),
    GoModule(
        name="etcd",
        programs={"etcd": "go.etcd.io/etcd/server/v3"},
        version_of="go.etcd.io/etcd/server/v3",
        variables={},
    ),
    GoModule(
        name="kwok",
        programs={"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
        version_of="sigs.k8s.io/kwok",
        variables={"sigs.k8s.io/kwok/pkg/consts.Version": "{version}"},
    ),
    GoModule(
        name="helm",
        programs={"helm": "helm.sh/helm/v3/cmd/helm"},
        version_of="helm.sh/helm/v3",
        # The Kubernetes version is what `helm template` and `helm lint` take the cluster for; unset, it is 1.20.
        variables={
            "helm.sh/helm/v3/internal/version.version": "{version}",
            "helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor": "1",
            "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor": "35",
            "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor": "1",
            "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor": "35",
        },
    ),
    GoModule(
        name="kind",
        programs={"kind": "sigs.k8s.io/kind"},
        version_of="sigs.k8s.io/kind",
        variables={},
    ),
    # No part of a cluster: an object store for the tests of results that are too big for a run's status.
    GoModule(
        name="versitygw",
        programs={"versitygw": "github.com/versity/versitygw/cmd/versitygw"},
        version_of="github.com/versity/versitygw",
        variables={"main.Version": "{version}"},
    ),
    # No part of a cluster: `make lint` reads the CI workflows with it.
    GoModule(
        name="actionlint",
        programs={"actionlint": "github.com/rhysd/actionlint/cmd/actionlint"},
        version_of="github.com/rhysd/actionlint",
        variables={"github.com/rhysd/actionlint.version": "{version}"},
    ),
)


def module_of(binary: str) -> GoModule:
    """The module that a binary is built from."""
    return next(module for module in MODULES if binary in module.programs)
