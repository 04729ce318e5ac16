"""`python3 -m tests.cluster VERB`: results on standard output, progress on standard error."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import base_image, binaries, debian, lifecycle
from tests.cluster.errors import ClusterError
from tests.cluster.go_module import MODULES
from tests.cluster.image import archived, build_image
from tests.cluster.kinds import KINDS
from tests.cluster.progress import say

# Built when they are asked for by name: one cluster in many needs kind, and none the others.
RARE = ("kind", "actionlint", "versitygw")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    options = _parser().parse_args(arguments)
    # What a CI job sends when it is cancelled: to be cleaned up after like Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result: int | None = options.run(options)
    except ClusterError as error:
        print(f"cluster: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cluster: interrupted", file=sys.stderr)
        return 130
    return result or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m tests.cluster", description="Start and stop test clusters.")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", default=lifecycle.DEFAULT_NAME, help="which cluster (default: %(default)s)")

    verb = verbs.add_parser("up", parents=[named], help="start a cluster, or do nothing when it is up")
    verb.add_argument(
        "--kind",
        choices=["auto", *KINDS],
        help="default: the variable CLUSTER, else auto",
    )
    verb.add_argument("--nodes", type=int, default=lifecycle.DEFAULT_NODES, help="fake nodes (default: %(default)s)")
    verb.set_defaults(run=_up)

    verb = verbs.add_parser("down", parents=[named], help="stop a cluster and undo all that it did")
    verb.set_defaults(run=_down)
    verb = verbs.add_parser("status", parents=[named], help="say how a cluster is; exits 1 when it is not well")
    verb.set_defaults(run=_status)
    verb = verbs.add_parser("kubeconfig", parents=[named], help="print the path of a cluster's kubeconfig")
    verb.set_defaults(run=_kubeconfig)

    known = [name for module in MODULES for name in module.programs]
    verb = verbs.add_parser("build", help="build binaries only")
    verb.add_argument(
        "binaries", nargs="*", metavar="BINARY", help=f"of {', '.join(known)} (default: all but {', '.join(RARE)})"
    )
    verb.set_defaults(run=_build, known=known)
    verb = verbs.add_parser("base-image", help="make the base image; prints its tag")
    verb.set_defaults(run=_base_image)
    verb = verbs.add_parser("image", help="build an image with Docker or buildah; prints its tag")
    verb.add_argument("--tag", required=True, help="its name, such as localhost/penstock:test")
    verb.add_argument("--file", type=Path, help="default: Dockerfile in the context")
    verb.add_argument("--context", type=Path, default=Path(), help="the folder to build from (default: this one)")
    verb.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE", help="of an ARG line")
    verb.set_defaults(run=_image)
    verb = verbs.add_parser("load-image", parents=[named], help="make an image known to a cluster's nodes")
    verb.add_argument("tag")
    verb.set_defaults(run=_load_image)
    verb = verbs.add_parser("prometheus", help="print the path of a Prometheus server, fetched when there is none")
    verb.set_defaults(run=_prometheus)
    verb = verbs.add_parser("path", help="print the folder with kubectl and helm, to put on PATH")
    verb.set_defaults(run=_path)
    return parser


def _up(options: argparse.Namespace) -> None:
    cluster = lifecycle.up(options.name, options.kind, nodes=options.nodes)
    say(f"use it with: export KUBECONFIG={cluster.kubeconfig} PATH={cluster.bin_dir}:$PATH")


def _down(options: argparse.Namespace) -> None:
    was_up = lifecycle.down(options.name)
    say(f"{options.name!r} is down" if was_up else f"there is no cluster {options.name!r}, so nothing to do")


def _status(options: argparse.Namespace) -> int:
    parts = lifecycle.health(options.name)
    is_well = all(part.is_well for part in parts)
    cluster = lifecycle.get(options.name)
    print(f"{cluster.name} ({cluster.kind}): {'well' if is_well else 'NOT well'}")
    print(f"  kubeconfig  {cluster.kubeconfig}")
    print(f"  server      {cluster.server}")
    print(f"  state       {cluster.state_dir}")
    for part in parts:
        print(f"  {'ok ' if part.is_well else 'BAD'} {part.name}: {part.detail}")
    return 0 if is_well else 1


def _kubeconfig(options: argparse.Namespace) -> None:
    print(lifecycle.get(options.name).kubeconfig)


def _build(options: argparse.Namespace) -> None:
    wanted = options.binaries or [name for name in options.known if name not in RARE]
    if unknown := sorted(set(wanted) - set(options.known)):
        raise ClusterError(f"there is no binary {unknown[0]!r}: choose of {', '.join(options.known)}")
    print(binaries.build(wanted))


def _path(_options: argparse.Namespace) -> None:
    print(binaries.build(["kubectl", "helm"]))


def _base_image(_options: argparse.Namespace) -> None:
    with archived(base_image.BASE_TAG):
        print(base_image.BASE_TAG)


def _image(options: argparse.Namespace) -> None:
    pairs = [pair.partition("=") for pair in options.build_arg]
    if bare := [name for name, equals, _ in pairs if not equals]:
        raise ClusterError(f"--build-arg {bare[0]}: write it as NAME=VALUE")
    build_args = {name: value for name, _, value in pairs}
    print(build_image(options.tag, dockerfile=options.file, context=options.context, build_args=build_args))


def _load_image(options: argparse.Namespace) -> None:
    lifecycle.load_image(lifecycle.get(options.name), options.tag)


def _prometheus(_options: argparse.Namespace) -> None:
    print(debian.prometheus())
