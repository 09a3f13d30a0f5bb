"""`python -m server SITE`: a built site on the loopback address, until interrupted."""

from __future__ import annotations

import argparse
import socket
import sys
from pathlib import Path

import uvicorn

from server.app import SiteNotFoundError, create_app

LOOPBACK = "127.0.0.1"
"""Nothing is offered to a network unless `--host` says so."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(prog="python -m server", description="Serve a built site with the headers it wants.")
    out.add_argument("site", type=Path, metavar="SITE", help="directory that `python -m export build` wrote")
    out.add_argument("--host", default=LOOPBACK, help=f"address to listen on (default {LOOPBACK}: this machine only)")
    out.add_argument("--port", type=int, default=8000, help="port (default 8000; 0 takes a free one)")
    out.add_argument(
        "--isolated", action="store_true", help="send COOP and COEP: WebAssembly may use threads, foreign resources are shut out"
    )
    return out


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; 1 when there is nothing to serve or the address is taken."""
    options = parser().parse_args(arguments)
    try:
        app = create_app(options.site, isolated=options.isolated)
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        with socket.create_server((options.host, options.port), family=family) as listener:
            host = f"[{options.host}]" if ":" in options.host else options.host
            print(f"http://{host}:{listener.getsockname()[1]}/  (Ctrl+C ends)", flush=True)
            uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
    except SiteNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: cannot listen on {options.host} port {options.port}: {error.strerror}; choose another with --port", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
