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
    card = _of_today(card, path)
    missing = _NEEDED - card.keys()
    if missing:
        raise ValueError(
            f"checkpoint {path}: expected a card with {', '.join(sorted(missing))} too; write it again with save()"
        )
    return card


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
    """The first format knew images alone."""
    training = dict(card.get("training", {}))
    if "images_of_each_class" in training:
        training["samples_of_each_class"] = training.pop("images_of_each_class")
    return {**card, "format": 2, "coding": {"kind": "unit"}, "training": training}


_UPGRADES: dict[Any, Callable[[Card], Card]] = {1: _from_1}  # each to the format after it
