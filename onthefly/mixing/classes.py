"""Classes: the groups that are balanced, known by number and, where somebody named them, by name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any


@dataclass(frozen=True)
class Classes:
    """How many classes there are, and their names if they have any.

    >>> Classes.of(("cat", "dog")).number("dog")
    1
    >>> Classes.of(3)
    3 unnamed classes
    """

    count: int
    names: tuple[str, ...] | None = None

    @classmethod
    def of(cls, classes: "Classes | Iterable[str] | int") -> "Classes":
        """Classes from a count, from their names in order, or from classes.

        Raises:
            ValueError: for fewer than one class, or a name given twice.
        """
        if isinstance(classes, Classes):
            return classes
        if isinstance(classes, Integral):
            names, count = None, int(classes)
        else:
            names = tuple(map(str, classes))  # type: ignore[arg-type]
            count = len(names)
        if count < 1:
            raise ValueError(f"classes: expected at least one class, found {classes!r}")
        if names is not None and len(set(names)) < count:
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(
                f"classes: expected distinct names, found {', '.join(twice)} more than once; give each class a name of "
                "its own"
            )
        return cls(count, names)

    @classmethod
    def of_keys(cls, table: Mapping[Any, Any], where: str, hint: str = "") -> "Classes":
        """The classes that the keys of a table are: names, or the numbers up to the largest.

        Raises:
            ValueError: for keys of both kinds, or of neither, naming ``where`` they stand, and what to do.
        """
        if table and all(isinstance(key, str) for key in table):
            return cls.of(tuple(table))
        if table and all(isinstance(key, Integral) and int(key) >= 0 for key in table):
            return cls.of(int(max(table)) + 1)
        raise ValueError(f"{where}: expected a table of names or of numbers, found {list(table)}{hint}")

    def number(self, key: Any, where: str = "class") -> int:
        """The number of a class given by name or by number.

        Raises:
            ValueError: naming ``where`` the key was found, and what would be accepted.
        """
        if isinstance(key, Integral) and 0 <= int(key) < self.count:
            return int(key)
        if key in self._numbers:
            return self._numbers[key]
        raise ValueError(f"{where}: unknown class {key!r}; expected {self._choice()}")

    def name(self, number: int) -> str:
        """What to call a class: its name, or its number."""
        return self.names[number] if self.names is not None else str(number)

    def key(self, number: int) -> str | int:
        """How a class is written in a dict of classes: by its name, or by its number."""
        return self.names[number] if self.names is not None else number

    def listed(self, numbers: Iterable[int], most: int = 5) -> str:
        """Some classes by name, the way a message lists them."""
        names = [self.name(int(number)) for number in numbers]
        return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names or ())}

    def _choice(self) -> str:
        numbers = f"a class number from 0 to {self.count - 1}" if self.count > 1 else "class number 0"
        return numbers if self.names is None else f"one of {self.listed(range(self.count), 20)}, or {numbers}"

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return (
            f"{self.count} unnamed classes" if self.names is None else f"classes {self.listed(range(self.count), 20)}"
        )
