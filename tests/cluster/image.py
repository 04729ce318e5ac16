"""Building the project's image: by Docker where its engine answers, else by buildah on the debootstrapped base."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import package_index
from tests.cluster.base_image import BASE_TAG, base_archive
from tests.cluster.buildah import Storage
from tests.cluster.cache import cache_dir, locked
from tests.cluster.command import must_run, run
from tests.cluster.debian import BUILDAH, install
from tests.cluster.dockerignore import read_patterns, visible_files
from tests.cluster.errors import ClusterError
from tests.cluster.progress import Stopwatch, say

DOCKER_TIMEOUT_S = 15.0
# What stands for the base image where Docker builds: also a Debian with Python.
DOCKER_BASE = "python:3.13-slim"
# To be raised when this module makes another image of the same content.
RECIPE_VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """What an image is made from.

    Attributes:
        tag: its name.
        dockerfile: how it is made.
        context: the folder that its COPY lines refer to.
        build_args: values of its ARG lines.
    """

    tag: str
    dockerfile: Path
    context: Path
    build_args: Mapping[str, str]

    def key(self) -> str:
        """A hash of all of it."""
        digest = hashlib.sha256(f"{RECIPE_VERSION} {json.dumps(sorted(self.build_args.items()))}".encode())
        digest.update(self.dockerfile.read_bytes())
        for file in visible_files(self.context, read_patterns(self.context, self.dockerfile)):
            is_link = file.is_symlink()
            mode = "link" if is_link else oct(file.stat().st_mode & 0o777)
            content = str(file.readlink()).encode() if is_link else file.read_bytes()
            digest.update(f"\0{file.relative_to(self.context)}\0{mode}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()


def docker() -> str | None:
    """The command of Docker, if its engine answers; a client alone does not help."""
    command = shutil.which("docker")
    if not command:
        return None
    try:
        done = run([command, "version", "--format", "{{.Server.Version}}"], timeout_s=DOCKER_TIMEOUT_S)
    except ClusterError:
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
    arguments = dict(build_args or {})
    engine = docker()
    if not engine:
        arguments.setdefault("BASE", BASE_TAG)
    recipe = Recipe(tag=tag, dockerfile=dockerfile, context=context, build_args=arguments)
    # An image of another base must not pass for this one.
    key = f"{recipe.key()} {base_archive().stem if BASE_TAG in arguments.values() else ''}"
    with locked(f"image-{_file_name(tag)}"):
        if _built_key(tag) == key and (_docker_has(engine, tag) if engine else _archive_of(tag)):
            say(f"{tag} is up to date")
            return tag
        watch = Stopwatch()
        say(f"building {tag} with {'Docker' if engine else 'buildah'}")
        _key_file(tag).parent.mkdir(parents=True, exist_ok=True)
        _key_file(tag).unlink(missing_ok=True)
        if engine:
            _archive_file(tag).unlink(missing_ok=True)
            _build_with_docker(engine, recipe)
        else:
            _build_with_buildah(recipe)
        _key_file(tag).write_text(key)
        say(f"built {tag} in {watch}")
    return tag


@contextmanager
def archived(tag: str) -> Iterator[Path]:
    """An archive of an image, wherever it was built; for the length of the block.

    Raises:
        ClusterError: there is no such image.
    """
    engine = docker()
    if engine and tag == BASE_TAG and not _docker_has(engine, tag):
        must_run([engine, "pull", "--quiet", DOCKER_BASE])
        must_run([engine, "tag", DOCKER_BASE, BASE_TAG])
    if engine and _docker_has(engine, tag):
        with tempfile.TemporaryDirectory() as scratch:
            saved = Path(scratch) / "image.tar"
            must_run([engine, "save", "--output", saved, tag])
            yield saved
    elif archive := _archive_of(tag):
        yield archive
    else:
        raise ClusterError(f"there is no image {tag!r}: build it with `python3 -m tests.cluster image --tag {tag}`")


def _archive_of(tag: str) -> Path | None:
    if tag == BASE_TAG:
        return base_archive()
    archive = _archive_file(tag)
    return archive if archive.exists() else None


def _build_with_docker(engine: str, recipe: Recipe) -> None:
    options = [f"--build-arg={name}={value}" for name, value in recipe.build_args.items()]
    # Docker takes these from its client's environment by name alone, and keeps them out of the image.
    options += [f"--build-arg={name}" for name in package_index.PROXY_VARIABLES if name in os.environ]
    must_run([engine, "build", "--tag", recipe.tag, "--file", recipe.dockerfile, *options, recipe.context])


def _build_with_buildah(recipe: Recipe) -> None:
    if os.geteuid() != 0:
        raise ClusterError("building an image without a Docker engine takes root: start Docker, or run this as root")
    install([BUILDAH])
    storage = Storage.open()
    if BASE_TAG in recipe.build_args.values():
        _ensure_base(storage)
    archive = _archive_file(recipe.tag)
    with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
        options = [f"--build-arg={name}={value}" for name, value in recipe.build_args.items()]
        for source, target in package_index.mounts(Path(scratch)).items():
            options.append(f"--volume={source}:{target}:ro")
        # Build steps see the machine's network, through its proxy if it has one.
        options += ["--isolation=chroot", "--format=docker", "--network=host", "--pull-never", "--force-rm"]
        options += [f"--layers={str(storage.keeps_layers).lower()}", f"--file={recipe.dockerfile}"]
        storage.buildah(["bud", f"--tag={recipe.tag}", *options, recipe.context])
        whole = Path(scratch) / "image.tar"
        storage.buildah(["push", "--quiet", recipe.tag, f"docker-archive:{whole}:{recipe.tag}"])
        whole.rename(archive)


def _ensure_base(storage: Storage) -> None:
    with locked("buildah-base"):
        archive = base_archive()
        mark = storage.folder / f"{archive.stem}.loaded"
        if not mark.exists():
            storage.buildah(["pull", "--quiet", f"docker-archive:{archive}"])
            mark.touch()


def _docker_has(engine: str, tag: str) -> bool:
    return run([engine, "image", "inspect", tag]).returncode == 0


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
