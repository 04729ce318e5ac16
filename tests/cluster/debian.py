"""Programs that come from Debian's packages: installed when they are missing, and never started as services."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.cache import cache_dir, locked
from tests.cluster.command import must_run
from tests.cluster.errors import ClusterError
from tests.cluster.progress import Stopwatch, say

# A program may be there without its package, such as the containerd that came with Docker: then it is used as it is.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
POLICY = Path("/usr/sbin/policy-rc.d")


@dataclass(frozen=True)
class Program:
    """Something that a package brings.

    Attributes:
        package: its Debian package.
        names: commands, or paths, any one of which shows that it is there.
    """

    package: str
    names: tuple[str, ...]

    def find(self) -> Path | None:
        """Where it is."""
        for name in self.names:
            if found := shutil.which(name, path=SYSTEM_PATH):
                return Path(found)
        return None

    def path(self) -> Path:
        """Where it is, which must be known.

        Raises:
            ClusterError: it is not installed.
        """
        if found := self.find():
            return found
        raise ClusterError(f"{self.names[0]} is not installed: install the package {self.package}")


CONTAINERD = Program("containerd", ("containerd",))
RUNC = Program("runc", ("runc",))
CNI_BRIDGE = Program("containernetworking-plugins", ("/usr/lib/cni/bridge", "/opt/cni/bin/bridge"))
IPTABLES = Program("iptables", ("iptables",))
IP = Program("iproute2", ("ip",))
BUSYBOX = Program("busybox-static", ("busybox",))
DEBOOTSTRAP = Program("debootstrap", ("debootstrap",))
BUILDAH = Program("buildah", ("buildah",))
OPENSSL = Program("openssl", ("openssl",))


def missing_refusal(programs: Sequence[Program]) -> str | None:
    """Why the programs are not available on this machine; None when they are there or can be installed."""
    missing = [program.package for program in programs if not program.find()]
    if not missing or (shutil.which("apt-get", path=SYSTEM_PATH) and os.geteuid() == 0):
        return None
    return f"missing here: {', '.join(missing)}, and installing them takes root and apt-get"


def install(programs: Sequence[Program]) -> None:
    """Install what is missing of them.

    Raises:
        ClusterError: it can't be installed here, or the installation failed.
    """
    missing = [program.package for program in programs if not program.find()]
    if not missing:
        return
    if refusal := missing_refusal(programs):
        raise ClusterError(refusal)
    watch = Stopwatch()
    say(f"installing Debian packages with apt-get: {', '.join(missing)}")
    with locked("apt"), _no_services():
        _apt(["update"])
        # --no-remove: a package that would push another from the machine is not worth it.
        _apt(["install", "--yes", "--no-install-recommends", "--no-remove", *missing])
    say(f"installed in {watch}")


def prometheus() -> Path:
    """The path of a Prometheus server; Debian's, unpacked into the cache, so that no service comes with it.

    Raises:
        ClusterError: there is none on the machine and the package is not available.
    """
    if found := shutil.which("prometheus"):
        return Path(found)
    with locked("prometheus"):
        folder = cache_dir() / "prometheus"
        program = folder / "usr" / "bin" / "prometheus"
        if program.exists():
            return program
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise ClusterError("prometheus is not on PATH and this is not Debian, which has it: install it")
        say("fetching Debian's package prometheus")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if os.geteuid() == 0:
            _apt(["update"])
        _apt(["download", "prometheus"], folder=folder)
        archive = next(folder.glob("*.deb"))
        must_run(["dpkg-deb", "--extract", archive, folder])
        archive.unlink()
        return program


def promtool() -> Path:
    """The path of Prometheus' tool that checks metrics and tests rules; it comes with the server.

    Raises:
        ClusterError: as for the server.
    """
    return prometheus().with_name("promtool")


def _apt(arguments: Sequence[str], folder: Path | None = None) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # A download must be readable for apt's own user, or it warns; as root it may as well stay root.
    command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "-o", "DPkg::Lock::Timeout=120", *arguments]
    must_run(command, cwd=folder, environment=environment)


@contextmanager
def _no_services() -> Iterator[None]:
    """Keep packages from starting services as Debian's policy-rc.d decides, unless the machine has a policy already."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
