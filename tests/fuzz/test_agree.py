"""A short run of the fuzzer: both readers give the same verdicts, and it finds a fault when there is one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import agree

from sdz.runtime.format import container


def test_two_thousand_damaged_files_get_the_same_verdict_from_both_readers() -> None:
    told = agree.run(2000, 7)
    assert (told["inputs"], told["crashes"], told["hangs"], told["disagreements"], told["bad"]) == (2000, 0, 0, 0, [])
    # the edits reach every verdict
    assert set(told["outcomes"]) >= {"image", "large", "CorruptFileError", "LimitError", "MissingPackError", "NotAnSdzError"}
    assert told["outcomes"]["image"] > 300
    # pictures of at most 4,096 pixels: a file cannot make the core take more
    assert 0 < told["core_memory"]["most_kb"] <= 768


def test_the_same_seed_gives_the_same_inputs() -> None:
    packs = agree.load_packs()
    first, again = (list(agree.inputs(50, 3, packs)) for _ in range(2))
    assert first == again


def test_a_reader_that_differs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container.limits, "MAX_ALT_BYTES", 3)
    monkeypatch.setitem(container._MAX_PAYLOAD, b"T", 3)
    told = agree.run(500, 7)
    assert told["disagreements"] > 0 and "Python LimitError" in " ".join(told["bad"])
