"""What the bench keeps of each photo, so that an interrupted run goes on and a new pack costs only its own part.

Takes figures under a name and a key, hands them back while the key is the same: `REPORT/photos/DIGEST/NAME.json` with patch
features in `NAME.npz` and encoded files beside it. The JSON is written last, so what it stands for is whole.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.files import write_atomically
from .frechet import Features


class Kept:
    """The folder of one photo, made when something is kept."""

    def __init__(self, report: Path, digest: str) -> None:
        self.folder = report / "photos" / digest[:16]

    def figures(self, name: str, key: str) -> dict[str, Any] | None:
        """The figures kept under `name`, or None where there are none of this key."""
        try:
            entry = json.loads((self.folder / f"{name}.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        if not isinstance(entry, dict) or entry.get("key") != key:
            return None
        figures: dict[str, Any] = entry["figures"]
        return figures

    def features(self, name: str) -> dict[str, Features]:
        """The patch features (n, 256) kept beside the figures, by what they show."""
        with np.load(self.folder / f"{name}.npz") as arrays:
            return {key: arrays[key] for key in arrays.files}

    def file(self, name: str) -> bytes:
        """A file kept beside the figures."""
        return (self.folder / name).read_bytes()

    def keep(self, name: str, key: str, figures: dict[str, Any], features: dict[str, Features], files: dict[str, bytes]) -> None:
        """Write all of it; raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for file, data in files.items():
            write_atomically(self.folder / file, data)
        arrays = io.BytesIO()
        np.savez(arrays, **{k: v.astype(np.float16) for k, v in features.items()})  # type: ignore[arg-type]
        write_atomically(self.folder / f"{name}.npz", arrays.getvalue())
        write_atomically(self.folder / f"{name}.json", (json.dumps({"key": key, "figures": figures}, indent=1) + "\n").encode())
