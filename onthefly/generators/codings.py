"""The closed table of codings, and which one suits a field."""

from collections.abc import Mapping
from typing import Any

from onthefly.data.spec import Field
from onthefly.generators.coding import Coding, Unit
from onthefly.generators.log_mel import LogMel
from onthefly.generators.stft import Stft
from onthefly.generators.table import Table
from onthefly.generators.text import Text

CODINGS: dict[str, type[Coding]] = {one.kind: one for one in (Unit, Table, LogMel, Stft, Text)}


def coding_of(kind: str) -> type[Coding]:
    """The coding of that name.

    >>> coding_of("unit").__name__
    'Unit'
    """
    if kind not in CODINGS:
        raise ValueError(f"coding: expected one of {', '.join(CODINGS)}, found {kind!r}; a newer release may know it")
    return CODINGS[kind]


def usual_coding(field: Field) -> str:
    """The coding that a field has unless something else is asked for."""
    if field.dtype == "str":
        return "text"
    return "table" if len(field.shape) == 1 else "unit"


def to_json(coding: Coding) -> dict[str, Any]:
    """A coding as plain values."""
    return {"kind": coding.kind, **coding.to_json()}


def from_json(field: Field, data: Mapping[str, Any]) -> Coding:
    """The coding that ``to_json`` wrote."""
    return coding_of(data["kind"]).from_json(field, data)
