"""Cards: what a checkpoint says of itself, in one key of canonical JSON; older ones are read as if written today."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onthefly.data.spec import Spec
from onthefly.generators import codings
from onthefly.generators.coding import Coding

FORMAT = 2
_NEEDED = {"format", "family", "config", "spec", "coding"}
_KINDS = {"format": int, "family": str, "config": dict, "spec": dict, "coding": dict, "training": dict}

_OWNED = {*_NEEDED, "training", "augmented", "init", "privacy", "cost", "distilled_from"}

Card = dict[str, Any]


def new_card(
    family: str, config: Mapping[str, Any], spec: Spec, coding: Coding, training: Mapping[str, Any], **known: Any
) -> Card:
    """A card: what rebuilds the generator, and how it came about.

    Args:
        family: by name.
        config: the family's sizes.
        spec: what a sample is.
        coding: between samples and the network.
        training: what it was trained on, and how.
        known: more that is worth knowing, by name: ``licence``, ``privacy``, ... What is None is left out.
    """
    return {
        "format": FORMAT,
        "family": family,
        "config": dict(config),
        "spec": spec.to_json(),
        "coding": codings.to_json(coding),
        "training": dict(training),
        **{name: value for name, value in known.items() if value is not None},
    }


def checked_about(about: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody wants a card to say beside, as it will be read again.

    Raises:
        ValueError: for what the card says by itself, or what JSON can't.
    """
    owned = sorted(about.keys() & _OWNED)
    if owned:
        raise ValueError(f"about: expected what a card doesn't say by itself, found {', '.join(owned)}; leave it out")
    try:
        return dict(json.loads(canonical({name: value for name, value in about.items() if value is not None})))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"about: expected words, numbers, lists and dicts, found something else ({error}); write it as a string"
        ) from error


def canonical(card: Mapping[str, Any]) -> str:
    """A card as text: equal cards give equal texts."""
    return json.dumps(card, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def parse(text: str, path: Path) -> Card:
    """The card that a text is, in today's format.

    Raises:
        ValueError: for anything else, or a card of a later format, naming the checkpoint.
    """
    try:
        card = dict(json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"checkpoint {path}: its card is not a JSON object ({error}); write it again with save()"
        ) from error
    _check_kinds(card, path)
    card = _of_today(card, path)
    missing = _NEEDED - card.keys()
    if missing:
        raise ValueError(
            f"checkpoint {path}: expected a card with {', '.join(sorted(missing))} too; write it again with save()"
        )
    return card


def _check_kinds(card: Card, path: Path) -> None:
    for name, kind in _KINDS.items():
        if name in card and type(card[name]) is not kind:
            raise ValueError(
                f"checkpoint {path}: expected a card that describes a generator, its {name} being of type "
                f"{kind.__name__}, found {card[name]!r:.80}; write it again with save()"
            )


def check_shown(card: Mapping[str, Any], spec: Spec) -> None:
    """Refuse a card that doesn't tell of each class how many samples of it were shown, where it tells of any.

    Raises:
        ValueError: saying what was found.
    """
    shown = card.get("training", {}).get("samples_of_each_class")
    counts = isinstance(shown, list) and all(type(count) is int and count >= 0 for count in shown)
    if shown is not None and not (counts and len(shown) == spec.classes.count):
        raise ValueError(f"expected samples_of_each_class to be {spec.classes.count} counts, found {shown!r:.80}")


def _of_today(card: Card, path: Path) -> Card:
    while card.get("format") in _UPGRADES:
        card = _UPGRADES[card["format"]](card)
    if card.get("format", FORMAT) != FORMAT:
        raise ValueError(
            f"checkpoint {path}: expected format {FORMAT} or less, found {card['format']}; pip install -U "
            "onthefly-torch"
        )
    return card


def _from_1(card: Card) -> Card:
    """The first format knew images alone, and no encoders."""
    training = dict(card.get("training", {}))
    if "images_of_each_class" in training:
        training["samples_of_each_class"] = training.pop("images_of_each_class")
    known = {**card, "format": 2, "coding": {"kind": "unit"}, "training": training}
    if card.get("family") == "vae" and isinstance(card.get("config"), dict):
        known["config"] = {**card["config"], "encoder": False}
    return known


_UPGRADES: dict[Any, Callable[[Card], Card]] = {1: _from_1}  # each to the format after it
