"""Settings as plain values that JSON can hold, and back."""

from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from typing import Any

from onthefly.mixing.balance import EffectiveNumber, Power, Shares
from onthefly.mixing.feedback import Feedback
from onthefly.mixing.schedule import Constant, Cosine, Fill, Linear, PerClass, Product, Steps, Then

_KNOWN: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        *(Power, EffectiveNumber, Shares),
        *(Constant, Fill, Linear, Cosine, Steps, Product, Then, PerClass, Feedback),
    )
}


def to_plain(setting: Any) -> Any:
    """A balance or a schedule as dicts, lists and numbers; of a class that isn't ours, its name.

    >>> to_plain(Fill(cap=0.5))
    {'is': 'Fill', 'cap': 0.5}
    """
    if isinstance(setting, (list, tuple)):
        return [to_plain(one) for one in setting]
    if setting is None or isinstance(setting, (str, bool)):
        return setting
    if isinstance(setting, Real):
        return int(setting) if isinstance(setting, Integral) else float(setting)
    name = type(setting).__name__
    inside = fields(setting) if is_dataclass(setting) and _KNOWN.get(name) is type(setting) else ()
    return {"is": name, **{field.name: to_plain(getattr(setting, field.name)) for field in inside}}


def from_plain(plain: Any) -> Any:
    """What ``to_plain`` was given.

    Raises:
        ValueError: for a class that isn't ours.

    >>> from_plain({"is": "Fill", "cap": 0.5})
    Fill(cap=0.5)
    """
    if isinstance(plain, list):
        return tuple(map(from_plain, plain))
    if not isinstance(plain, dict):
        return plain
    if plain.get("is") not in _KNOWN:
        raise ValueError(
            f"manifest: expected settings of {', '.join(_KNOWN)}, found {plain.get('is')!r}, a class of your own, "
            "which can't be made again from its name; write the sample's label and key down with tag=True instead"
        )
    made = object.__new__(_KNOWN[plain["is"]])
    for field in fields(made):
        object.__setattr__(made, field.name, from_plain(plain[field.name]))
    return made
