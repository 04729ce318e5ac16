"""Files that tell a client where the API server is and who it is."""

import base64
import json
from pathlib import Path


def write_kubeconfig(path: Path, *, server: str, ca: Path, token: str, cluster: str, user: str) -> None:
    """Write a kubeconfig; it is JSON, which is YAML too."""
    # Several kubeconfigs may be put together, and then users of the same name are one.
    user = f"{cluster}-{user}"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": cluster,
                "cluster": {
                    "server": server,
                    "certificate-authority-data": base64.b64encode(ca.read_bytes()).decode(),
                },
            }
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        "current-context": cluster,
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=1))
