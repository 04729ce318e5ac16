"""The example gives the same in one process and, compiled, as processes of this machine.

tests/e2e/test_python_flows.py shows the third way: Pods of a cluster.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def penstock(folder: Path, *arguments: str) -> str:
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "penstock.cli.main", *arguments],
        cwd=folder,
        env={**os.environ, "PATH": tools, "PENSTOCK_CODE": str(EXAMPLES)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_gives_the_same_in_one_process_and_as_processes(tmp_path):
    code = "import json, seasons; print(json.dumps(seasons.seasons(hot=24.5)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=EXAMPLES, capture_output=True, text=True, check=True)
    penstock(tmp_path, "compile", f"{EXAMPLES}/seasons.py:seasons", "--image", "none", "-o", "seasons.yaml")

    run = json.loads(penstock(tmp_path, "run", "--local", "seasons.yaml", "-p", "hot=24.5", "-o", "json"))

    assert run["status"]["state"] == "Completed"
    assert run["status"]["outputs"]["result"] == json.loads(done.stdout)
    (days,) = (each for each in run["status"]["tasks"] if each["name"] == "read-days")
    assert days["outputs"]["stored"]["bytes"] > 10_000
