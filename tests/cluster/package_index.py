"""How this machine reaches Python's package index, lent to an image build and never left in the image.

A machine may sit behind a proxy that signs with an authority of its own, and may use another index: both are settings
of the machine, so they are mounted, read-only, for the build alone.
"""

import configparser
import os
import ssl
import sys
from pathlib import Path

from tests.cluster.command import run

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
# Of pip's settings, those that say where packages come from; folders of this machine are not there during the build.
SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout", "timeout", "retries")
# Where Debian's programs, and pip on it, look.
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
PIP_CONFIG = "/etc/pip.conf"


def mounts(scratch: Path) -> dict[Path, str]:
    """What to mount where: the bundle of authorities, and a pip.conf written into the scratch folder."""
    found: dict[Path, str] = {}
    bundle = _bundle()
    if bundle:
        found[bundle] = BUNDLE
    file = scratch / "pip.conf"
    _write_pip_config(file, has_bundle=bundle is not None)
    found[file] = PIP_CONFIG
    return found


def pip_settings(listing: str) -> dict[str, str]:
    """The settings of interest from what `pip config list` prints, such as `global.timeout='60'`."""
    settings = {}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        # Later lines win in pip, and variables are listed first though they win: so a variable is not overridden.
        if key in SETTINGS and (section == ":env:" or key not in settings):
            settings[key] = value.strip().strip("'\"")
    return settings


def _bundle() -> Path | None:
    for candidate in (os.environ.get("SSL_CERT_FILE"), BUNDLE, ssl.get_default_verify_paths().cafile):
        if candidate and Path(candidate).is_file():
            return Path(candidate).resolve()
    return None


def _write_pip_config(file: Path, *, has_bundle: bool) -> None:
    settings = pip_settings(run([sys.executable, "-m", "pip", "config", "list"]).stdout)
    if has_bundle:
        settings["cert"] = BUNDLE
    config = configparser.RawConfigParser()
    config["global"] = settings
    with file.open("w") as output:
        config.write(output)
    file.chmod(0o644)
