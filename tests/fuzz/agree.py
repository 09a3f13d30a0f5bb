"""Fuzzing on a larger scale: damaged and invented files through the Python and the JavaScript reader, whose every verdict is compared.

    python tests/fuzz/agree.py --count 1000000 [--seed 1] [--report FILE]

Inputs are the vectors of `tests/vectors` with up to eight edits (bytes set, inserted, deleted, doubled, bits flipped, the end cut off,
pieces of other vectors spliced in) or invented chunks behind a good header. Of two thirds the CRCs are then made right, so that what lies
behind them is reached. Both readers give pixels (their SHA-256), or an error with its field and offset; where the two differ, where either
raises anything else, or where an input takes longer than SECONDS of processor time, the input is kept and counted. A picture of more than
FEW pixels is compared as far as its chunks: what its pixels cost is bounded by the header, not by what a fuzzer could find in it.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any, Final

FOLDER = Path(__file__).resolve().parent
VECTORS = FOLDER.parent / "vectors"
ROOT = FOLDER.parents[1]
sys.path[:0] = [str(ROOT), str(VECTORS)]

import make  # noqa: E402
import make_fine  # noqa: E402
import make_indices  # noqa: E402

from sdz.runtime.core import Core  # noqa: E402
from sdz.runtime.decode import decode, open_latents  # noqa: E402
from sdz.runtime.errors import CorruptFileError, LimitError, SdzError  # noqa: E402
from sdz.runtime.format import picture  # noqa: E402
from sdz.runtime.format.container import LOSSLESS, parse, varint  # noqa: E402
from sdz.runtime.limits import MAX_PIXELS  # noqa: E402

FEW: Final = 1 << 12
"""Pixels of the largest picture whose pixels are compared."""

SECONDS: Final = 5.0
"""Of a processor; what takes longer is a hang: no input here needs a tenth of it."""

BATCH: Final = 500
"""Inputs sent to the other reader at once."""

KINDS: Final = ("planes", "palette", "indices", "fine")


def load_packs() -> list[Any]:
    """The vectors' packs in the order of KINDS."""
    files = {path.name: path.read_bytes() for path in (VECTORS / "pack").iterdir()}
    indices = {path.name: path.read_bytes() for path in (VECTORS / "indices" / "pack").iterdir()}
    fine = {path.name: path.read_bytes() for path in (make_fine.FOLDER / "pack").iterdir()}
    return [make.load_pack(files), make.load_pack(files, "palette"), make_indices.load_pack(indices), make_fine.load_pack(fine)]


def load_seeds() -> list[tuple[int, bytes]]:
    """The vectors, each with its kind."""
    folders = (
        (0, "valid"),
        (0, "invalid"),
        (1, "palette"),
        (2, "indices/valid"),
        (2, "indices/invalid"),
        (0, "lossless/valid"),
        (3, "fine"),
    )
    found = [(kind, path.read_bytes()) for kind, name in folders for path in sorted((VECTORS / name).glob("*.sdz"))]
    return [(kind, data) for kind, data in found if len(data) < 6000]


def edited(data: bytes, numbers: random.Random, others: list[tuple[int, bytes]]) -> bytes:
    """`data` with up to eight edits."""
    out = bytearray(data)
    for _ in range(numbers.randint(1, 8)):
        # half of the edits in the first bytes, where the header and the heads of chunks are
        at = numbers.randint(0, min(len(out), 40) if numbers.random() < 0.5 else len(out))
        match numbers.randrange(8):
            case 0 | 1:
                if at < len(out):
                    out[at] ^= 1 << numbers.randrange(8)
            case 2:
                piece = numbers.choice((b"\0", b"\xff", b"\x7f", b"\x80", bytes([numbers.randrange(256)])))
                out[at : at + 1] = piece
            case 3:
                out[at:at] = numbers.randbytes(numbers.randint(1, 9))
            case 4:
                del out[at : at + numbers.randint(1, 9)]
            case 5:
                length = numbers.randint(1, 60)
                out[at:at] = out[at : at + length]
            case 6:
                if numbers.random() < 0.3:
                    del out[at:]
            case 7:
                other = numbers.choice(others)[1]
                start = numbers.randint(0, len(other))
                out[at : at + numbers.randint(0, 30)] = other[start : start + numbers.randint(1, 60)]
    return bytes(out[:8000])


def invented(data: bytes, numbers: random.Random) -> bytes:
    """A good file's header with chunks made up."""
    out = data[:7] + bytes([data[7] & 0x7F if len(data) > 7 and numbers.random() < 0.8 else 0x80]) + data[8:10]
    for _ in range(numbers.choice((0, 1, 2, 3, 4, 70))):
        tag = numbers.choice((b"L", b"P", b"A", b"R", b"T", b"E", b"X", bytes([numbers.randrange(256)])))
        payload = numbers.randbytes(numbers.choice((0, 1, 5, 40, 300)))
        if tag in b"AP" and numbers.random() < 0.7:
            payload = zlib.compress(payload)
        if tag == b"X" and numbers.random() < 0.7:
            payload = bytes([numbers.randrange(16)]) + struct.pack("<I", len(payload)) + payload
        if tag == b"T" and numbers.random() < 0.7:
            payload = payload.hex().encode()
        out += tag + varint(len(payload)) + bytes(4) + payload
    return out


def with_crcs(data: bytes) -> bytes:
    """`data` with the CRC of every whole chunk made right, as far as its structure can be followed."""
    out = bytearray(data)
    at = 8
    for _ in range(2):
        while at < len(out) and out[at] >= 0x80:
            at += 1
        at += 1
    head = bytes(out[:at])
    alone = len(out) > 7 and out[7] & 0x80
    while at < len(out):
        tag, length, shift = b"" if alone else out[at : at + 1], 0, 0
        at += len(tag)
        while at < len(out):
            length |= (out[at] & 0x7F) << shift
            shift += 7
            at += 1
            if out[at - 1] < 0x80 or shift > 28:
                break
        size = 2 if alone else 4
        payload = out[at + size : at + size + length]
        if len(payload) < length:
            break
        out[at : at + size] = struct.pack("<I", zlib.crc32(head + tag + payload))[:size]
        at += size + length
    return bytes(out)


def inputs(count: int, seed: int, packs: list[Any]) -> Any:
    """`count` inputs as (kind, bytes): the same ones for the same seed."""
    numbers = random.Random(seed)
    seeds = load_seeds()
    for _ in range(count):
        kind, data = numbers.choice(seeds)
        data = invented(data, numbers) if numbers.random() < 0.1 else edited(data, numbers, seeds)
        if numbers.random() < 0.8:
            # what an edit did to these would hide all others
            data = b"SDZ" + bytes([(data[3] if len(data) > 3 else 0) & 0xF0 | 2]) + packs[kind].id + data[7:]
        yield kind, with_crcs(data) if numbers.random() < 0.7 else data


class Watched(Core):
    """The instance that a picture was decoded in, remembered: what it has taken of memory, which never shrinks, is what the input cost."""

    last: Core | None = None

    def __init__(self) -> None:
        super().__init__()
        Watched.last = self


def outcome(data: bytes, pack: Any) -> str:
    """What the Python reader makes of an input, in the words of agree.js."""
    try:
        container = parse(data)
        width, height = container.header.width, container.header.height
        if FEW < width * height <= MAX_PIXELS:
            return f"large {width} {height} {len(container.chunks)}"
        image = decode(data, stage="linear", pack=pack)
        told = f"image {width} {height} {int(image.complete)} {make.digest(image.pixels)[:16]}"
        if container.find(LOSSLESS) is None:
            return told
        exact = open_latents(data, pack=pack).exact()
        return f"{told} exact {len(exact)} {make.digest(exact)[:16]}"
    except (CorruptFileError, LimitError) as error:
        return f"{error.code} {'-' if error.offset is None else error.offset} {error.field}"
    except SdzError as error:
        return error.code
    except Exception as error:
        return f"crash {type(error).__name__}: {error}".replace("\n", " ")


class Reader:
    """The JavaScript reader in a process of its own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(["node", str(FOLDER / "agree.js"), str(FEW)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, batch: list[tuple[int, bytes]]) -> list[tuple[str, float, int]]:
        """Of each input the outcome, the seconds, and the process's resident bytes after it."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(b"".join(struct.pack("<BI", kind, len(data)) + data for kind, data in batch))
        self.process.stdin.flush()
        answers = []
        for _ in batch:
            said, micros, held = self.process.stdout.readline().decode().rstrip("\n").rsplit("\t", 2)
            answers.append((said, int(micros) / 1e6, int(held)))
        return answers

    def close(self) -> None:
        self.process.communicate()


def run(count: int, seed: int, keep: Path | None = None, progress: bool = False) -> dict[str, Any]:
    """Counts of `count` inputs: outcomes by kind, crashes, hangs, disagreements, and the worst time and memory of each reader."""
    packs, reader = load_packs(), Reader()
    counts: dict[str, int] = {}
    bad: list[str] = []
    crashes = hangs = different = 0
    worst = {"python": 0.0, "javascript": 0.0}
    spent = {"python": 0.0, "javascript": 0.0}
    base = held = python_base = 0
    empty, taken, ratio = Core().reserved(), 0, 0.0
    picture.Core = Watched  # type: ignore[misc]
    batch: list[tuple[int, bytes]] = []
    done = 0
    begin = time.perf_counter()
    for number, item in enumerate(inputs(count, seed, packs), 1):
        batch.append(item)
        if len(batch) < BATCH and number < count:
            continue
        for (kind, data), (theirs, seconds, resident) in zip(batch, reader.ask(batch), strict=True):
            Watched.last = None
            start = time.process_time()
            ours = outcome(data, packs[kind])
            own = time.process_time() - start
            if Watched.last is not None:
                more = Watched.last.reserved() - empty
                taken, ratio = max(taken, more), max(ratio, more / len(data))
            spent = {"python": spent["python"] + own, "javascript": spent["javascript"] + seconds}
            counts[ours.partition(" ")[0]] = counts.get(ours.partition(" ")[0], 0) + 1
            worst = {"python": max(worst["python"], own), "javascript": max(worst["javascript"], seconds)}
            crash, hang, differs = "crash" in (ours[:5], theirs[:5]), max(own, seconds) > SECONDS, ours != theirs
            crashes, hangs, different = crashes + crash, hangs + hang, different + differs
            held = max(held, resident)
            base = base or resident
            if crash or hang or differs:
                bad.append(f"{KINDS[kind]} {data.hex()}: Python {ours} {own:.3f} s, JavaScript {theirs} {seconds:.3f} s")
        python_base = python_base or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        done += len(batch)
        batch = []
        if progress and done % 10000 < BATCH:
            print(done, crashes, hangs, different, f"{time.perf_counter() - begin:.0f} s", flush=True)
        if keep is not None and bad:
            keep.write_text("\n".join(bad) + "\n")
    reader.close()
    picture.Core = Core  # type: ignore[misc]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "inputs": done,
        "seed": seed,
        "outcomes": dict(sorted(counts.items())),
        "crashes": crashes,
        "hangs": hangs,
        "disagreements": different,
        "worst_ms": {name: round(1000 * seconds, 1) for name, seconds in worst.items()},
        "inputs_per_second": {name: round(done / seconds) for name, seconds in spent.items()},
        "core_memory": {"most_kb": round(taken / 1024), "most_kb_per_input_byte": round(ratio / 1024, 1)},
        "memory_mb": {"python": round((peak - python_base) / 1024, 1), "javascript": round((held - base) / 2**20, 1)},
        "bad": bad[:5],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the two readers on damaged files.")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="file for the inputs that went wrong")
    parser.add_argument("--report", type=Path, help="file for the counts, as JSON")
    options = parser.parse_args()
    told = run(options.count, options.seed, options.keep, True)
    text = json.dumps(told, indent=1) + "\n"
    if options.report is not None:
        options.report.write_text(text)
    print(text)
    return int(bool(told["crashes"] or told["hangs"] or told["disagreements"]))


if __name__ == "__main__":
    sys.exit(main())
