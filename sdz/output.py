"""Standard output that takes whatever a file may be called.

File names are bytes. Those that are not UTF-8, or that the terminal's encoding lacks, are printed with escapes instead of ending the
command in an error.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any


def tolerate_names() -> None:
    """Makes standard output and standard error escape what they cannot encode: `caf\\udce9.jpg` for a byte E9 in a name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def as_json(value: Any) -> str:
    """A JSON document for standard output, indented. What its encoding lacks is escaped as JSON does it; `os.fsencode` gives the bytes of
    a name back."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return json.dumps(value, indent=1)
    return text
