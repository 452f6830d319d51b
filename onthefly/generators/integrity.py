"""Integrity: what a checkpoint's file must be before anything parses it, and which file it is."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CARD = "onthefly"  # the one metadata key: with two the file's bytes would depend on their order in memory

_HEADER_BYTES = 16 << 20
_CARD_BYTES = 8 << 20
_TENSORS = 100_000
_NESTING = 64
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)  # whatever the text, it is read once
_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_header(path: Path) -> None:
    """Refuse a file whose header is out of bounds: more than 16 MiB of it, 100,000 tensors, a card of 8 MiB, 64 levels
    of nesting, a name that is there twice, or tensors that aren't as long as what follows it.

    Memory is taken for the header alone, and only if the file is as long as that says.

    Raises:
        ValueError: naming the file, the bound, and what was found.

    >>> liar = Path("liar.safetensors")
    >>> _ = liar.write_bytes((1 << 62).to_bytes(8, "little"))
    >>> check_header(liar)
    Traceback (most recent call last):
        ...
    ValueError: checkpoint liar.safetensors: not a whole safetensors file (expected 4611686018427387904 bytes of header,
    found 0); copy it again, its size is 8 bytes
    """
    room = path.stat().st_size - 8
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > room:
            raise _not_whole(path, f"expected {length} bytes of header, found {max(room, 0)}")
        _check_most(length, _HEADER_BYTES, "bytes of header", path)
        header = _parsed(file.read(length), path)
    metadata = header.pop("__metadata__", {})
    _check_most(len(header), _TENSORS, "tensors", path)
    described = sum(_bytes_of(name, entry, path) for name, entry in header.items())
    if described != room - length:
        raise _not_whole(path, f"expected {described} bytes of tensors, found {room - length}")
    _check_card(metadata.get(CARD) if isinstance(metadata, dict) else None, path)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits as ``sha256sum`` prints it, without the whole file in memory.

    >>> Path("empty").touch()
    >>> sha256_of(Path("empty"))
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str | None) -> str:
    """The SHA-256 of a file, which must be the expected one, if there is one.

    Raises:
        ValueError: if it is another, naming both; or if the expected one is none.
    """
    wanted = None if expected is None else str(expected).strip().lower()
    if wanted is not None and not _SHA256.fullmatch(wanted):
        raise ValueError(f"sha256: expected 64 hexadecimal digits, found {expected!r}; write what sha256sum prints")
    found = sha256_of(path)
    if wanted not in (None, found):
        raise ValueError(
            f"checkpoint {path}: expected the file with the SHA-256 {wanted}, found {found}; fetch that file again, or "
            "leave sha256= out to trust this one"
        )
    return found


@contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Refuse a file that is written while it is read, so that what was checked is what is used.

    Raises:
        ValueError: if at the end it is another file, of another size or time.
    """
    before = _which(path)
    yield
    if _which(path) != before:
        raise ValueError(
            f"checkpoint {path}: expected a file that nobody writes to, found one that changed while it was read; load "
            "it again"
        )


def _which(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _parsed(header: bytes, path: Path) -> dict[str, Any]:
    try:
        text = header.decode()
        _check_most(_nesting(text), _NESTING, "levels of nesting in its header", path)
        parsed = json.loads(text, object_pairs_hook=_once)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _not_whole(path, f"its header is not JSON: {error}") from error
    except _TwiceError as error:
        raise ValueError(f"checkpoint {path}: expected each name once, found {error} twice; save it again") from error
    if not isinstance(parsed, dict):
        raise _not_whole(path, f"expected a JSON object as header, found a {type(parsed).__name__}")
    return parsed


def _nesting(text: str) -> int:
    """How deep brackets are nested, those in strings left out."""
    depth = deepest = 0
    for token in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        deepest = max(deepest, depth)
    return deepest


class _TwiceError(Exception):
    """A name that is twice in an object, of which two parsers may see different ones."""


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name, value in pairs:
        if name in known:
            raise _TwiceError(repr(name))
        known[name] = value
    return known


def _bytes_of(name: str, entry: Any, path: Path) -> int:
    """How long a tensor is, as the header says; whether tensors overlap, safetensors checks."""
    try:
        begin, end = entry["data_offsets"]
        if type(begin) is type(end) is int and 0 <= begin <= end:
            return end - begin
    except (TypeError, KeyError, ValueError):
        pass
    raise _not_whole(path, f"expected where {name!r} begins and ends, found {str(entry)[:80]}")


def _check_card(card: Any, path: Path) -> None:
    if isinstance(card, str):
        _check_most(len(card.encode(errors="replace")), _CARD_BYTES, "bytes of card", path)
        _check_most(_nesting(card), _NESTING, "levels of nesting in its card", path)


def _check_most(found: int, most: int, what: str, path: Path) -> None:
    if found > most:
        raise ValueError(
            f"checkpoint {path}: expected at most {most} {what}, found {found}; no generator of this library has so "
            "many, so fetch the file again from where it came"
        )


def _not_whole(path: Path, why: str) -> ValueError:
    return ValueError(
        f"checkpoint {path}: not a whole safetensors file ({why}); copy it again, its size is "
        f"{path.stat().st_size} bytes"
    )
