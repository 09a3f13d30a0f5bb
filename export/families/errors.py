"""What can be wrong with a model that a pack is to be made from."""

from __future__ import annotations


class FamilyError(ValueError):
    """The model cannot be had, or is none that a pack can be made from; the message names the source, the fault and the way out."""
