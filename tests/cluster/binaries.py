"""The programs of a cluster, built from source once and then kept in the cache."""

import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from tests.cluster.cache import cache_dir, locked
from tests.cluster.command import must_run
from tests.cluster.errors import ClusterError
from tests.cluster.go_module import MODULES, GoModule, module_of
from tests.cluster.go_toolchain import go_command, go_environment
from tests.cluster.progress import Stopwatch, say

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
NODE = ("kubelet", "kube-proxy")
PROGRESS_EVERY_S = 15


def binary(name: str) -> Path:
    """The path of a binary, built now when it has not been."""
    build([name])
    return path_of(name)


def path_of(name: str) -> Path:
    """Where a binary is once it has been built; so that looking at a cluster never builds anything."""
    return module_of(name).built / name


def build(names: Iterable[str]) -> Path:
    """Build those of the binaries that the cache has not, and return the folder to put on PATH.

    Raises:
        ClusterError: the toolchain or a module is not available, or a build failed.
    """
    names = set(names)
    for module in MODULES:
        wanted = sorted(names & set(module.programs))
        if all((module.built / name).exists() for name in wanted):
            continue
        with locked(f"build-{module.name}"):
            # Another process may have built them while this one waited for the lock.
            missing = [name for name in wanted if not (module.built / name).exists()]
            if missing:
                _build(module, missing)
    return _link()


def bin_dir() -> Path:
    """The folder of links for PATH; a folder of its own for each state of the go.mod files."""
    return cache_dir() / "bin" / sha256(" ".join(module.key for module in MODULES).encode()).hexdigest()[:16]


def _link() -> Path:
    folder = bin_dir()
    folder.mkdir(parents=True, exist_ok=True)
    for module in MODULES:
        for name in module.programs:
            link, target = folder / name, module.built / name
            if target.exists() and not link.is_symlink():
                link.symlink_to(target)
    return folder


def _build(module: GoModule, names: list[str]) -> None:
    watch = Stopwatch()
    say(f"building {', '.join(names)} {module.version} from source (kept for the next time)")
    module.built.mkdir(parents=True, exist_ok=True)
    go = go_command()
    packages = [module.programs[name] for name in names]
    total = len(_run_go(go, module, ["list", "-mod=readonly", "-deps", *packages]).splitlines())
    with tempfile.TemporaryDirectory(dir=module.built) as scratch:
        _compile(go, module, [*module.build_flags, "-o", f"{scratch}/", *packages], total)
        for name in names:
            # `go build` names a program after its path, less a version at its end.
            built = Path(scratch) / next(part for part in reversed(module.programs[name].split("/")) if part != "v3")
            built.rename(module.built / name)
    say(f"built {', '.join(names)} in {watch}")


def _run_go(go: Path, module: GoModule, arguments: list[str]) -> str:
    return must_run([go, *arguments], cwd=module.folder, environment=go_environment())


def _compile(go: Path, module: GoModule, arguments: list[str], total: int) -> None:
    said: deque[str] = deque(maxlen=20)
    command = [str(go), "build", "-v", *arguments]
    with subprocess.Popen(
        command, cwd=module.folder, env=go_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as building:
        assert building.stderr
        try:
            _report(building.stderr, said, module, total)
        except BaseException:
            # Interrupted: the compiler must not continue alone.
            building.terminate()
            raise
    if building.returncode:
        raise ClusterError(f"go build failed for module {module.name!r}:\n" + "\n".join(said))


def _report(lines: Iterable[str], said: deque[str], module: GoModule, total: int) -> None:
    compiled, next_report_s = 0, time.monotonic() + PROGRESS_EVERY_S
    for line in lines:
        # -v prints the path of each package as it is compiled, alone on a line; all else is worth keeping.
        if " " in line.strip() or line.startswith("#"):
            said.append(line.rstrip())
        else:
            compiled += 1
        if time.monotonic() > next_report_s:
            next_report_s = time.monotonic() + PROGRESS_EVERY_S
            say(f"  {module.name}: {compiled} of at most {total} packages")
