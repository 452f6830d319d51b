"""Files: pictures or sounds in a folder, and the class of each, told by its subfolder or by its name."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from torchvision.datasets.folder import IMG_EXTENSIONS

from onthefly.reading.patterns import fields_in
from onthefly.reading.samples import in_order

Medium = Literal["pictures", "sounds"]

ENDINGS: dict[Medium, tuple[str, ...]] = {"pictures": IMG_EXTENSIONS, "sounds": (".wav", ".flac", ".ogg")}
_UNPACK = {
    ".zip": "unzip",
    ".tar": "tar -xf",
    ".tgz": "tar -xf",
    ".gz": "gunzip -k",
    ".xz": "unxz -k",
    ".bz2": "bunzip2 -k",
}
ARCHIVES = tuple(_UNPACK)
_DIVIDED = {"train", "training", "test", "testing", "val", "valid", "validation"}


@dataclass(frozen=True)
class Files:
    """The files of a folder, in the order of their paths.

    Attributes:
        paths: of each sample.
        labels: the name of each one's class.
        classes: the names of all, those without a file too.
        fields: what else the names of the files say of each, by name.
    """

    paths: list[Path]
    labels: list[str]
    classes: tuple[str, ...]
    fields: dict[str, list[str]]


def medium_of(folder: Path) -> Medium:
    """What a folder holds: of the first file that can be read.

    Raises:
        ValueError: if there is none, naming what there is.
    """
    found = []
    for path in _walk(folder):
        for medium, endings in ENDINGS.items():
            if path.suffix.lower() in endings:
                return medium
        found.append(path.name)
    wanted = " or ".join(f"{medium} ({', '.join(endings[:3])}, ...)" for medium, endings in ENDINGS.items())
    raise ValueError(f"read: expected {wanted} in {folder}, found {_shown(found)}; {_way_out(folder, found)}")


def find_files(folder: Path, medium: Medium, pattern: str | None = None) -> Files:
    """The files of a folder and their classes; none is opened. Names that begin with a dot are passed over.

    Args:
        folder: ``folder/<class>/**/<any name>``, or of any form with a pattern.
        medium: what to look for.
        pattern: what the name of a file says, as in ``"{label}_{speaker}_{take}.wav"``; with slashes, the folders
            above it too.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no such file, or pictures and sounds both; if a file is in no subfolder, or doesn't
            fit the pattern, or fits it in two ways; if it is a data set divided into train and test.
    """
    paths = _paths(folder, medium)
    if pattern is None:
        labels = _subfolders_of(paths, folder)
        return Files(paths, labels, _classes_in(folder), {})
    fields = fields_in([path.relative_to(folder).as_posix() for path in paths], pattern, ENDINGS[medium])
    labels = fields.pop("label")
    return Files(paths, labels, in_order(labels), fields)


def _paths(folder: Path, medium: Medium) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"read: expected a folder of {medium}, found no folder {folder}; check the path")
    found: dict[Medium, list[Path]] = {kind: [] for kind in ENDINGS}
    for path in _walk(folder):
        for kind, endings in ENDINGS.items():
            if path.suffix.lower() in endings:
                found[kind].append(path)
    other: Medium = "sounds" if medium == "pictures" else "pictures"
    if found[medium] and found[other]:
        raise ValueError(
            f"read: expected {medium} alone in {folder}, found {len(found[medium])} of them and {len(found[other])} "
            f"{other}, as {found[other][0].relative_to(folder)}; move either to a folder of their own"
        )
    if not found[medium]:
        medium_of(folder)
        raise ValueError(
            f"read: expected {medium} in {folder}, found {len(found[other])} {other}; write read({str(folder)!r})"
        )
    return found[medium]


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in the order of names; links to folders are followed, as torchvision does."""
    for where, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(where, name) for name in sorted(files) if not name.startswith("."))


def _classes_in(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(one.name for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")))


def _subfolders_of(paths: list[Path], folder: Path) -> list[str]:
    parts = [path.relative_to(folder).parts for path in paths]
    flat = [names[0] for names in parts if len(names) == 1]
    if flat:
        raise ValueError(
            f"read: expected one subfolder a class, {folder}/<class>/<any name>, found {len(flat)} files without a "
            f"class, as {flat[0]}; move them, or tell how their names say it: pattern='{{label}}_{{take}}"
            f"{PurePosixPath(flat[0]).suffix}'"
        )
    tops = sorted({names[0] for names in parts})
    if {top.lower() for top in tops} <= _DIVIDED and all(len(names) > 2 for names in parts):
        raise ValueError(
            f"read: expected one subfolder a class, found {', '.join(tops)} in {folder}, a data set already divided; "
            f"read one part of it: {folder / tops[-1]}"
        )
    return [names[0] for names in parts]


def _shown(names: list[str]) -> str:
    if not names:
        return "nothing"
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _way_out(folder: Path, names: list[str]) -> str:
    archive = next((name for name in names if name.lower().endswith(ARCHIVES)), None)
    file = next((name for name in names if name.lower().endswith((".csv", ".tsv"))), None)
    if archive is not None:
        return f"{unpacking(Path(archive))}, and give the folder that comes out"
    return "check the path" if file is None else f"give the file itself: {folder / file}"


def unpacking(archive: Path) -> str:
    """What to type to unpack an archive.

    >>> unpacking(Path("fsdd.tar.xz"))
    'unpack it first: tar -xf fsdd.tar.xz'
    """
    return f"unpack it first: {_UNPACK['.tar' if '.tar.' in archive.name else archive.suffix.lower()]} {archive}"
