"""Every error this package raises on purpose, in one family.

Bad input of any kind (a file, a pack, a photo, an execution provider) ends in exactly one of these; each message says what was
wrong, where, and what to do. The classes carry the same names as the `code` of the JavaScript twin's `SdzError`, so both
languages can be held to the same expectations.
"""

from __future__ import annotations


class SdzError(ValueError):
    """Base of the family: `except SdzError` catches all that bad input can cause."""

    @property
    def code(self) -> str:
        """The error's name, shared by every implementation."""
        return type(self).__name__


class NotAnSdzError(SdzError):
    """The bytes do not begin with the magic number."""

    def __init__(self, head: bytes) -> None:
        self.head = head[:3]
        found = f"begins with {self.head!r}" if head else "is empty"
        super().__init__(f"not an .sdz file: it {found}, not with b'SDZ'")


class UnsupportedVersionError(SdzError):
    """The file is an .sdz of a version that this runtime does not know."""

    def __init__(self, version: int) -> None:
        self.version = version
        super().__init__(f"version {version} of the format is not supported (this runtime reads version 1): update the runtime")


class CorruptFileError(SdzError):
    """The bytes break a rule of FORMAT.md.

    `offset` is the byte at which the offending field begins, `field` is its name in FORMAT.md.
    """

    def __init__(self, problem: str, offset: int, field: str) -> None:
        self.offset = offset
        self.field = field
        super().__init__(f"corrupt file: {problem} (field '{field}' at byte {offset})")


class LimitError(SdzError):
    """A number in the file, or the size of an image, is over a limit named in `limits`.

    `offset` is where the field begins, or None where the number does not stand in a file.
    """

    def __init__(self, problem: str, offset: int | None, field: str) -> None:
        self.offset = offset
        self.field = field
        where = "" if offset is None else f" at byte {offset}"
        super().__init__(f"over a limit: {problem} (field '{field}'{where})")


class MissingPackError(SdzError):
    """No installed pack has the id that the file names."""

    def __init__(self, pack_id: bytes) -> None:
        self.pack_id = pack_id
        super().__init__(
            f"model pack {pack_id.hex()} is not installed: get the pack of that id from whoever made the file, "
            "and name its folder with --pack or its parent folder in $SDZ_PACKS"
        )


class CorruptPackError(SdzError):
    """A pack's manifest or one of its files is malformed or does not have the stated digest."""


class EncodeInputError(SdzError):
    """The image, or an option of the encoder, cannot be encoded."""


class UnknownImageError(EncodeInputError):
    """What was given to the encoder is in no image format that it reads."""


class DecodeInputError(SdzError):
    """What was given to the decoder is no file, or an option of it does not exist."""


class ProviderError(SdzError):
    """The execution provider asked for is unknown, or not part of the installed onnxruntime."""


class CoreError(SdzError):
    """The exact core failed, or was called wrongly: a fault of this package, not of its input."""


class MissingExtraError(SdzError):
    """What was asked for needs an optional package that is not installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what} needs {package}, which is not installed: pip install 'sdz[{extra}]'")


class MissingRuntimeError(MissingExtraError):
    """onnxruntime is needed and not installed."""

    def __init__(self, what: str) -> None:
        super().__init__(what, "onnxruntime", "encode")


class DesktopError(SdzError):
    """The desktop lacks something that is needed: a display, a system library, or a tool that registers files."""


def reason(error: BaseException) -> str:
    """`in_words` for a sentence that names the file already."""
    return error.strerror if isinstance(error, OSError) and error.strerror else in_words(error)


def in_words(error: BaseException) -> str:
    """One line that says what went wrong, without the class's name or a number that only programs read."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}" + (f" ({error.filename})" if error.filename else "")
    return " ".join(str(error).split())
