"""Building the project's image: by Docker where its engine answers, else by buildah on the debootstrapped base."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import package_index
from tests.cluster.base_image import BASE_TAG, base_archive
from tests.cluster.cache import cache_dir, locked
from tests.cluster.buildah import Storage, run
from tests.cluster.debian import BUILDAH, install
from tests.cluster.dockerignore import read_patterns, visible_files
from tests.cluster.errors import ClusterError
from tests.cluster.progress import Stopwatch, say

DOCKER_TIMEOUT_S = 10
# To be raised when this module makes another image of the same content.
RECIPE_VERSION = 1


def docker() -> str | None:
    """The command of Docker, if its engine answers; a client alone is no help."""
    command = shutil.which("docker")
    if not command:
        return None
    asked = [command, "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(asked, capture_output=True, check=False, timeout=DOCKER_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return None
    return command if done.returncode == 0 else None


def build_image(
    tag: str,
    *,
    dockerfile: Path | None = None,
    context: Path = Path(),
    build_args: Mapping[str, str] | None = None,
) -> str:
    """Build an image, unless the one of this tag has the same content, and return the tag.

    Args:
        tag: its name, such as `localhost/penstock:test`.
        dockerfile: default: `Dockerfile` in the context.
        context: the folder that its COPY lines refer to.
        build_args: values of its ARG lines; without Docker, BASE is by default the base image.

    Raises:
        ClusterError: the build failed, or nothing here can build.
    """
    dockerfile = dockerfile or context / "Dockerfile"
    if not dockerfile.is_file():
        raise ClusterError(f"there is no {dockerfile}: name the Dockerfile with --file, or its folder with --context")
    build_args = dict(build_args or {})
    engine = docker()
    if not engine:
        build_args.setdefault("BASE", BASE_TAG)
    key = content_key(dockerfile=dockerfile, context=context, build_args=build_args)
    with locked(f"image-{_file_name(tag)}"):
        if _built_key(tag) == key and (archive_of(tag) or (engine and _docker_has(engine, tag))):
            say(f"{tag} is up to date")
            return tag
        watch = Stopwatch()
        say(f"building {tag} with {'Docker' if engine else 'buildah'}")
        _key_file(tag).unlink(missing_ok=True)
        if engine:
            _archive_file(tag).unlink(missing_ok=True)
            _build_with_docker(engine, tag, dockerfile=dockerfile, context=context, build_args=build_args)
        else:
            _build_with_buildah(tag, dockerfile=dockerfile, context=context, build_args=build_args)
        _key_file(tag).parent.mkdir(parents=True, exist_ok=True)
        _key_file(tag).write_text(key)
        say(f"built {tag} in {watch}")
    return tag


def archive_of(tag: str) -> Path | None:
    """The archive of an image that buildah built, or of the base image; None when there is none."""
    if tag == BASE_TAG:
        return base_archive()
    archive = _archive_file(tag)
    return archive if archive.exists() else None


@contextmanager
def archived(tag: str) -> Iterator[Path]:
    """An archive of an image, wherever it was built; for the length of the block.

    Raises:
        ClusterError: there is no such image.
    """
    if archive := archive_of(tag):
        yield archive
        return
    engine = docker()
    if not engine or not _docker_has(engine, tag):
        raise ClusterError(f"there is no image {tag!r} here: build it with `python3 -m tests.cluster image --tag {tag}`")
    with tempfile.TemporaryDirectory() as scratch:
        saved = Path(scratch) / "image.tar"
        subprocess.run([engine, "save", "--output", saved, tag], check=True)
        yield saved


def content_key(*, dockerfile: Path, context: Path, build_args: Mapping[str, str]) -> str:
    """A hash of all that the image is made of, as far as the context and the arguments go."""
    digest = hashlib.sha256(f"{RECIPE_VERSION} {json.dumps(sorted(build_args.items()))}".encode())
    digest.update(dockerfile.read_bytes())
    if build_args.get("BASE") == BASE_TAG:
        digest.update(base_archive().name.encode())
    for file in visible_files(context, read_patterns(context, dockerfile)):
        mode = "link" if file.is_symlink() else str(file.stat().st_mode & 0o777)
        content = os.readlink(file).encode() if file.is_symlink() else file.read_bytes()
        digest.update(f"\0{file.relative_to(context)}\0{mode}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _build_with_docker(
    engine: str, tag: str, *, dockerfile: Path, context: Path, build_args: Mapping[str, str]
) -> None:
    options = [f"--build-arg={name}={value}" for name, value in build_args.items()]
    # Docker takes these from its client's environment by name alone, and keeps them out of the image.
    options += [f"--build-arg={name}" for name in package_index.PROXY_VARIABLES if name in os.environ]
    run([engine, "build", "--tag", tag, "--file", dockerfile, *options, context])


def _build_with_buildah(tag: str, *, dockerfile: Path, context: Path, build_args: Mapping[str, str]) -> None:
    if os.geteuid() != 0:
        raise ClusterError("building an image without a Docker engine takes root: start Docker, or run this as root")
    install([BUILDAH])
    storage = Storage.open()
    if build_args["BASE"] == BASE_TAG:
        _ensure_base(storage)
    archive = _archive_file(tag)
    archive.parent.mkdir(parents=True, exist_ok=True)
    options = [f"--build-arg={name}={value}" for name, value in build_args.items()]
    with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
        mounts = [f"--volume={source}:{target}:ro" for source, target in package_index.mounts(Path(scratch)).items()]
        command = ["bud", "--isolation=chroot", "--format=docker", "--tag", tag, "--file", dockerfile]
        # Build steps see the machine's network, through its proxy if it has one.
        command += ["--network=host", "--pull-never", "--force-rm", f"--layers={str(storage.keeps_layers).lower()}"]
        storage.buildah([*command, *mounts, *options, context])
        whole = Path(scratch) / "image.tar"
        storage.buildah(["push", "--quiet", tag, f"docker-archive:{whole}:{tag}"])
        whole.rename(archive)


def _ensure_base(storage: Storage) -> None:
    with locked("buildah-base"):
        archive = base_archive()
        mark = storage.folder / f"{archive.stem}.loaded"
        if not mark.exists():
            storage.buildah(["pull", "--quiet", f"docker-archive:{archive}"])
            mark.touch()


def _docker_has(engine: str, tag: str) -> bool:
    return subprocess.run([engine, "image", "inspect", tag], capture_output=True, check=False).returncode == 0


def _file_name(tag: str) -> str:
    return tag.replace("/", "_").replace(":", "_")


def _archive_file(tag: str) -> Path:
    return cache_dir() / "images" / "built" / f"{_file_name(tag)}.tar"


def _key_file(tag: str) -> Path:
    return cache_dir() / "images" / "built" / f"{_file_name(tag)}.key"


def _built_key(tag: str) -> str | None:
    try:
        return _key_file(tag).read_text()
    except FileNotFoundError:
        return None
