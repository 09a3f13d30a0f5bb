"""The child process that decodes and encodes: `python -m sdz.server.jobs.worker MEMORY_LIMIT`, jobs on standard input, results on standard
output.

Each job ends in one message: a result, or an error's name and text. Image decoders run only here, under a memory limit, where the parent
may kill them; the child ends when its input does.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from typing import Final

from ...runtime.errors import SdzError
from .messages import Message, receive, send
from .pictures import decode_picture, encode_upload

KINDS: Final[dict[str, Callable[[Message, bytes], tuple[Message, bytes]]]] = {"decode": decode_picture, "encode": encode_upload}
"""What does each kind of job: from the job and its bytes to the result and its bytes."""


def perform(job: Message, data: bytes) -> tuple[Message, bytes]:
    """Performs one job and returns its answer; whatever a library raises becomes an error's name and text."""
    try:
        result, out = KINDS[job["kind"]](job, data)
        return {"ok": True, **result}, out
    except SdzError as error:
        return {"ok": False, "code": error.code, "message": str(error)}, b""
    except MemoryError:
        return {"ok": False, "code": "LimitError", "message": "the picture needs more memory than this server gives one"}, b""
    except Exception as error:  # onnxruntime's and Pillow's own kinds
        return {"ok": False, "code": "InternalError", "message": f"{type(error).__name__}: {error}"}, b""


def main() -> None:
    """Performs jobs until standard input ends."""
    limit = int(sys.argv[1])
    # private writable memory, which a picture can make grow; a limit on address space would count what onnxruntime only reserves
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # what a library prints must not come between two messages
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while (message := receive(sys.stdin.buffer)) is not None:
        send(output, *perform(*message))


if __name__ == "__main__":
    main()
