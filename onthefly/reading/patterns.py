"""Patterns: what the names of files say."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from string import Formatter


def fields_in(paths: Sequence[str], pattern: str, endings: Sequence[str]) -> dict[str, list[str]]:
    """What the names of files say, field by field.

    Args:
        paths: with slashes.
        pattern: of the name, as ``"{label}_{speaker}_{take}.wav"``; with slashes, of the folders above it too.
        endings: that a file may have.

    Raises:
        ValueError: for a pattern without a label or an ending, and for a name that doesn't fit it, or fits it in two
            ways.

    >>> fields_in(["x/0_ann_1.wav", "x/7_bob_1.wav"], "{label}_{speaker}_{take}.wav", (".wav",))
    {'label': ['0', '7'], 'speaker': ['ann', 'bob'], 'take': ['1', '1']}
    """
    depth = pattern.count("/") + 1
    names = ["/".join(path.split("/")[-depth:]) for path in paths]
    shortest, longest = (_expression(pattern, endings, end) for end in ("?", ""))
    strange = [name for name in names if not shortest.fullmatch(name)]
    if strange:
        raise ValueError(
            f"read: expected names like {pattern!r}, found {len(strange)} of {len(names)} that are not, as "
            f"{strange[0]!r}; correct pattern=, or move them"
        )
    found, others = ([_match(form, name) for name in names] for form in (shortest, longest))
    for name, one, other in zip(names, found, others, strict=True):
        if one != other:
            raise ValueError(
                f"read: expected names that {pattern!r} divides in one way, found {name!r}, which may be {one} or "
                f"{other}; rename such files, or sort them into one subfolder a class"
            )
    return {field: [one[field] for one in found] for field in shortest.groupindex}


def _match(form: re.Pattern[str], name: str) -> dict[str, str]:
    match = form.fullmatch(name)
    return match.groupdict() if match else {}


def _expression(pattern: str, endings: Sequence[str], end: str) -> re.Pattern[str]:
    """A pattern as a regular expression, fields being as short as can be where they end in "?", else as long."""
    example = f"pattern='{{label}}_{{take}}{endings[0]}'"
    try:
        parts = [(text, field) for text, field, _, _ in Formatter().parse(pattern)]
    except ValueError as error:
        raise ValueError(f"pattern: expected fields in braces, found {pattern!r} ({error}); write {example}") from error
    fields = [field for _, field in parts if field is not None]
    if "label" not in fields or len(set(fields)) < len(fields) or not all(map(str.isidentifier, fields)):
        raise ValueError(
            f"pattern: expected {{label}}, and maybe other names in braces, each once, found {pattern!r}; write "
            f"{example}"
        )
    if PurePosixPath(pattern).suffix.lower() not in endings:
        raise ValueError(
            f"pattern: expected the whole name of a file, ending and all, found {pattern!r}; write {example}"
        )
    return re.compile("".join(re.escape(text) + (f"(?P<{field}>[^/]+{end})" if field else "") for text, field in parts))
