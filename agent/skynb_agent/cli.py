"""The command line: `agent.pyz start|stop|rpc|bridge|recv|lay --root R`. Transports call it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from skynb_agent import config, daemon, streams
from skynb_agent.protocol import VERSION


def main(argv: list[str] | None = None) -> int:
    """Run one verb. 0 = done, 1 = failed with one line on standard error, 3 = no daemon is running."""
    options = _parser().parse_args(argv)
    root = Path(options.root).expanduser().absolute() if options.root else Path.cwd()
    try:
        return _run(options, root)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"agent: {error}", file=sys.stderr, flush=True)
        if options.verb == "lay":
            os._exit(1)  # its reader of standard input may never wake
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agent.pyz", description="The skynb agent of this node.")
    parser.add_argument("--version", action="version", version=VERSION)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--root", help="the agent's private folder")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("start", parents=[shared], help="make sure that the daemon runs; print its facts")
    stop = verbs.add_parser("stop", parents=[shared], help="end the daemon; jobs keep running")
    stop.add_argument("--kill", action="store_true", help="end jobs and services too")
    verbs.add_parser("rpc", parents=[shared], help="frames between standard streams and the daemon")
    bridge = verbs.add_parser("bridge", parents=[shared], help="bytes between standard streams and a socket")
    bridge.add_argument("target", help="unix:PATH or tcp:HOST:PORT")
    recv = verbs.add_parser("recv", parents=[shared], help="standard input to a file, in one step")
    recv.add_argument("path")
    recv.add_argument("--mode", default="600", help="permissions in octal")
    verbs.add_parser("lay", parents=[shared], help="a snapshot of files on standard streams to the home")
    return parser


def _run(options: argparse.Namespace, root: Path) -> int:
    verb = options.verb
    if verb == "start":
        print(json.dumps(daemon.start(root)), flush=True)
    elif verb == "stop":
        facts = daemon.stop(root, kill=options.kill)
        print(json.dumps({"stopped": facts is not None, **(facts or {})}), flush=True)
    elif verb == "rpc":
        return _rpc(root)
    elif verb == "bridge":
        streams.bridge(streams.connect(options.target))
        os._exit(0)  # the reader of standard input may never wake
    else:
        _store(options, root)
    return 0


def _rpc(root: Path) -> int:
    try:
        line = streams.connect(f"unix:{root / daemon.SOCKET}")
    except (FileNotFoundError, ConnectionRefusedError):
        print(f"agent: no daemon serves {root}", file=sys.stderr)
        return 3
    streams.bridge(line)
    os._exit(0)  # as above


def _store(options: argparse.Namespace, root: Path) -> None:
    roots = [root]
    if (root / "config.json").exists():
        roots.append(config.load(root).home)
    if options.verb == "recv":
        size = streams.receive(sys.stdin.buffer, Path(options.path), int(options.mode, 8), roots)
        print(json.dumps({"bytes": size}), flush=True)
    else:
        from skynb_agent import laying

        counts = laying.lay(sys.stdin.buffer, sys.stdout.buffer, root, roots[-1])
        print(json.dumps(counts), flush=True)
