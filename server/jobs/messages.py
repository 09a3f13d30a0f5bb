"""Messages between the server and its child processes: a line of JSON, then as many bytes as its field `bytes` says.

Never pickles, which multiprocessing and the pools built on it send: reading a pickle runs whatever its writer asks for, and a child may be
in the hands of the picture that it decodes.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO

Message = dict[str, Any]


def send(stream: BinaryIO, message: Message, data: bytes = b"") -> None:
    """Writes one message. Raises OSError when nobody reads."""
    stream.write(json.dumps({**message, "bytes": len(data)}).encode() + b"\n")
    stream.write(data)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[Message, bytes] | None:
    """Reads one message; None where the stream ends, within a message too."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    message: Message = json.loads(line)
    data = stream.read(message["bytes"])
    return (message, data) if len(data) == message["bytes"] else None
