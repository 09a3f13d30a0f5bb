"""`sdz serve SITE`: a built site, or any folder with .sdz files, on the loopback address, until interrupted."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

from sdz.extras import explained

with explained("sdz serve", "server"):
    import uvicorn

    from sdz.server.app import CACHE_BYTES, Cache, create_app
    from sdz.server.connections import configured
    from sdz.server.headers import COEP_VALUES, COOP_VALUES, CORP_VALUES, ISOLATED, Isolation
    from sdz.server.log import log_to_stderr
    from sdz.server.upload import Uploads

LOOPBACK = "127.0.0.1"
"""Nothing is offered to a network unless `--host` says so."""

TOKEN_VARIABLE = "SDZ_UPLOAD_TOKEN"
"""Environment variable with the token for uploads: a command line would show it to every user of the machine."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(prog="sdz serve", description="Serve a built site, or a folder of .sdz files.")
    out.add_argument("site", type=Path, metavar="SITE_OR_FOLDER", help="directory that `sdz build` wrote, or any other")
    out.add_argument("--host", default=LOOPBACK, help=f"address to listen on (default {LOOPBACK}: this machine only)")
    out.add_argument("--port", type=int, default=8000, help="port (default 8000; 0 takes a free one)")
    out.add_argument("--quiet", action="store_true", help="no access log (default: a line of JSON a request on standard error)")

    headers = out.add_argument_group("cross-origin headers")
    headers.add_argument(
        "--isolated",
        action="store_true",
        help="the three below at their strictest: WebAssembly may use threads, foreign resources are shut out",
    )
    headers.add_argument("--coop", choices=COOP_VALUES, help="Cross-Origin-Opener-Policy")
    headers.add_argument("--coep", choices=COEP_VALUES, help="Cross-Origin-Embedder-Policy")
    headers.add_argument("--cors", action="store_true", help="scripts of every other site may read the files")
    headers.add_argument("--corp", choices=CORP_VALUES, help="Cross-Origin-Resource-Policy")

    cache = out.add_argument_group("pictures decoded for clients that cannot")
    cache.add_argument("--cache", type=Path, metavar="FOLDER", help="keep them here (default: a temporary folder)")
    cache.add_argument(
        "--cache-size", type=int, default=CACHE_BYTES >> 20, metavar="MIB", help="at most this much (default %(default)s MiB)"
    )

    taken = out.add_argument_group("uploads", "POST /encode takes images in where a folder is given; results are served below /encoded/.")
    taken.add_argument(
        "--uploads", type=Path, metavar="FOLDER", help="keep the encoded pictures and their catalogue here (default: no uploads)"
    )
    taken.add_argument(
        "--token-file", type=Path, metavar="FILE", help=f"file with the token that clients must send (default: ${TOKEN_VARIABLE})"
    )
    return out


def uploads(options: argparse.Namespace) -> Uploads | None:
    """The uploads that the options ask for. Raises ValueError without a usable token, OSError for a token file that cannot be read."""
    if options.uploads is None:
        return None
    token = os.environ.get(TOKEN_VARIABLE, "") if options.token_file is None else options.token_file.read_text("ascii")
    if not token.strip():
        raise ValueError(f"uploads need a token: name a file with --token-file, or set ${TOKEN_VARIABLE}")
    return Uploads(options.uploads, token.strip())


def isolation(options: argparse.Namespace) -> Isolation:
    """The cross-origin headers that the options ask for."""
    base = ISOLATED if options.isolated else Isolation()
    return Isolation(options.coop or base.coop, options.coep or base.coep, options.corp or base.corp)


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; 1 when there is nothing to serve or the address is taken."""
    options = parser().parse_args(arguments)
    try:
        cache = Cache(options.cache, options.cache_size << 20)
        app = create_app(options.site, isolation=isolation(options), cache=cache, uploads=uploads(options), cors=options.cors)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    try:
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        with socket.create_server((options.host, options.port), family=family) as listener:
            host = f"[{options.host}]" if ":" in options.host else options.host
            print(f"http://{host}:{listener.getsockname()[1]}/  (Ctrl+C ends)", flush=True)
            if not options.quiet:
                log_to_stderr()
            uvicorn.Server(configured(app)).run(sockets=[listener])
    except OSError as error:
        print(f"error: cannot listen on {options.host} port {options.port}: {error.strerror}; choose another with --port", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
