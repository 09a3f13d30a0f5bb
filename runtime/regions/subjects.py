"""What can be protected, by the names that a caller gives. Importing this loads nothing."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import EncodeInputError
from ..options import SUBJECTS, Subject


def subjects_of(names: str | Sequence[str]) -> tuple[Subject, ...]:
    """The subjects that a list, or a text with commas, names. Raises EncodeInputError for one that does not exist."""
    asked = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    for name in asked:
        if name not in SUBJECTS:
            raise EncodeInputError(f"'{name}' cannot be protected, {' and '.join(SUBJECTS)} can")
    return tuple(subject for subject in SUBJECTS if subject in asked)
