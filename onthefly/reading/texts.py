"""Texts: a file with a text and its label on each line."""

from collections.abc import Sequence
from pathlib import Path

from onthefly.reading.samples import Samples, in_order, numbered
from onthefly.reading.written import read_written


class Texts(Samples):
    """The texts of a tsv file, whose tabs divide label and text, and quotes mean nothing; or of a csv file.

    Yields ``(str, class number)``.

    Args:
        file: in UTF-8.
        label: the name of the label's column; by default the first.
        text: the name of the texts' column; by default the first other one.
        attributes: columns to keep as ``attributes``.
        header: whether the first line is a heading; by default it is one unless one of its values is a number or comes
            again in its column. Without a heading columns are called column1, column2, ...

    Attributes:
        texts: all of them.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it has no such columns, or a line without a label or a text.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "messages.tsv")
    >>> _ = file.write_text("label\\ttext\\nham\\tsee you at 8\\nspam\\tyou won\\n")
    >>> texts = Texts(file)
    >>> texts[1], texts.classes
    (('you won', 1), ('ham', 'spam'))
    """

    def __init__(
        self,
        file: str | Path,
        *,
        label: str | None = None,
        text: str | None = None,
        attributes: Sequence[str] = (),
        header: bool | None = None,
    ) -> None:
        written = read_written(Path(file), header=header)
        label = written.names[0] if label is None else label
        text = next(name for name in written.names if name != label) if text is None else text
        labels = [value.strip() for value in written.column(label, "label")]
        self.texts = written.column(text, "text")
        for name, values in ((label, labels), (text, self.texts)):
            empty = next((row for row, value in enumerate(values) if not value.strip()), None)
            if empty is not None:
                raise ValueError(
                    f"read: expected a value of {name!r} in every line, found none in line {written.lines[empty]} of "
                    f"{file}; add it, or remove the line"
                )
        classes = in_order(labels)
        super().__init__(
            numbered(labels, classes),
            classes,
            {name: written.attribute(name) for name in attributes},
        )

    def __getitem__(self, index: int) -> tuple[str, int]:
        return self.texts[index], int(self.targets[index])
