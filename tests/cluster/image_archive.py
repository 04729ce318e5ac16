"""Container images made without a builder: one layer from a folder, as an archive that every engine can load.

The format is Docker's image archive: a tar with the layer, a config (OCI image-spec, config.md) and manifest.json.
"""

import hashlib
import io
import json
import platform
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.command import must_run

# So that the same content makes the same image.
EPOCH = "1970-01-01T00:00:00Z"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def architecture() -> str:
    """This machine's, as images name it."""
    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)


def write_archive(
    archive: Path, *, root: Path, tag: str, command: Sequence[str], environment: Sequence[str] = ()
) -> None:
    """Write an image whose file system is that folder.

    Args:
        archive: the file to write; it appears only when it is whole.
        root: the folder; its device files are left out.
        tag: the name in the archive.
        command: the image's default command.
        environment: NAME=VALUE.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
        layer = Path(scratch) / "layer.tar"
        what = ["--numeric-owner", "--sort=name", "--exclude=./dev/*", f"--directory={root}", "."]
        must_run(["tar", "--create", f"--file={layer}", *what])
        with layer.open("rb") as content:
            layer_digest = hashlib.file_digest(content, "sha256").hexdigest()
        config = {
            "created": EPOCH,
            "architecture": architecture(),
            "os": "linux",
            "config": {"Cmd": list(command), "Env": list(environment)},
            # buildah refuses to build upon an image whose history does not account for each of its layers.
            "history": [{"created": EPOCH, "created_by": "tests.cluster"}],
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        }
        config_text = json.dumps(config).encode()
        config_name = f"{hashlib.sha256(config_text).hexdigest()}.json"
        layer_name = f"{layer_digest}.tar"
        manifest = json.dumps([{"Config": config_name, "RepoTags": [tag], "Layers": [layer_name]}]).encode()
        whole = Path(scratch) / "image.tar"
        with tarfile.open(whole, "w") as tar:
            tar.add(layer, arcname=layer_name)
            for name, content_bytes in ((config_name, config_text), ("manifest.json", manifest)):
                entry = tarfile.TarInfo(name)
                entry.size = len(content_bytes)
                tar.addfile(entry, io.BytesIO(content_bytes))
        whole.rename(archive)
