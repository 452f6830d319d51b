"""Source: what a user names, and the dataset that it is read as."""

import inspect
from pathlib import Path
from typing import Any

from onthefly.reading.audio import Clips
from onthefly.reading.files import ARCHIVES, medium_of, unpacking
from onthefly.reading.images import Pictures
from onthefly.reading.named import NAMED, Named, check_name
from onthefly.reading.samples import Samples
from onthefly.reading.tables import Rows
from onthefly.reading.texts import Texts

_ENDINGS: dict[str, type[Samples]] = {".csv": Rows, ".tsv": Texts, ".tab": Texts, ".txt": Texts}
_KINDS: dict[type[Samples], str] = {
    Pictures: "a folder of pictures",
    Clips: "a folder of sounds",
    Rows: "a table",
    Texts: "a file of texts",
    Named: "a data set of torchvision's",
}


def read(source: str | Path, **options: Any) -> Samples:
    """Read what a user has as a map-style dataset of ``(sample, class number)``, with ``targets``, ``classes`` and
    ``attributes``.

    Args:
        source: a folder of pictures, one subfolder a class (``Pictures``); a folder of wav files (``Clips``); a .csv
            file of numbers and categories (``Rows``), or of texts if ``text=`` names their column; a .tsv file of texts
            (``Texts``); or the name of a torchvision dataset (``Named``), a folder called so being written ``./MNIST``
            or as a ``Path``.
        options: of the dataset that it turns out to be; of value None, as if not given.

    Raises:
        FileNotFoundError: if there is nothing of that name.
        ValueError: for what can't be read, or an option of something else.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "flowers.csv")
    >>> _ = file.write_text("petal,sepal,kind\\n1.4,5.1,setosa\\n4.7,7.0,versicolor\\n")
    >>> flowers = read(file)
    >>> flowers, flowers[0]
    (2 samples of 2 classes, (tensor([1.4000, 5.1000]), 0))
    """
    given = {name: value for name, value in options.items() if value is not None}
    reader = _reader(source, given)
    taken = list(inspect.signature(reader).parameters)[1:]
    strange = [name for name in given if name not in taken]
    if strange:
        raise ValueError(
            f"read: expected options of {_KINDS[reader]}, which are {', '.join(taken)}, found {', '.join(strange)}; "
            f"leave out {', '.join(f'{name}=' for name in strange)}, since {source} is {_KINDS[reader]}"
        )
    made: Samples = reader(source, **given)
    return made


def _reader(source: str | Path, given: dict[str, Any]) -> Any:
    path = Path(source)
    if isinstance(source, str) and source in NAMED:
        return Named
    if path.is_dir():
        return Pictures if medium_of(path) == "pictures" else Clips
    if not path.exists():
        raise _missing(source)
    if path.suffix.lower() in ARCHIVES:
        raise ValueError(f"read: expected a folder or a file to read, found the archive {path}; {unpacking(path)}")
    if path.suffix.lower() not in _ENDINGS:
        raise ValueError(
            f"read: expected a folder, or a file that ends in {', '.join(_ENDINGS)}, found {path}; rename it, or give "
            "the folder that it is in"
        )
    return Texts if "text" in given else _ENDINGS[path.suffix.lower()]


def _missing(source: str | Path) -> Exception:
    """What to say of something that isn't there: a name that is misspelt, or a path."""
    if isinstance(source, str) and Path(source).name == source and not Path(source).suffix:
        try:
            check_name(source)
        except ValueError as error:
            return FileNotFoundError(f"read: found no folder {source!r}; as a name, {error}")
    return FileNotFoundError(f"read: expected a folder or a file, found none at {source}; check the path")
