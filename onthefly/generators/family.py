"""Family: one kind of generator, as its file describes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from torch import nn

from onthefly.data.spec import Spec
from onthefly.generators.attributes import Attributes
from onthefly.generators.coding import Coding
from onthefly.generators.frozen import NetworkGenerator
from onthefly.generators.latent import LatentGenerator
from onthefly.generators.running import Call
from onthefly.generators.target import Target
from onthefly.generators.trainer import Trainer

WIDEST = 65536  # numbers side by side: more are nobody's, and only meant to cost time or memory
DEEPEST = 64  # layers one after the other


@dataclass(frozen=True)
class Plain:
    """How samples are made, where there is nothing to choose."""


@dataclass(frozen=True)
class Parts:
    """What a generator is put together from.

    Attributes:
        network: trained, or being trained.
        target: what the network makes.
        config: its sizes, as the family has them.
        spec: what a sample is.
        coding: between the two.
        card: what is known about it; None while it is being trained.
    """

    network: nn.Module
    target: Target
    config: Any
    spec: Spec
    coding: Coding
    card: Mapping[str, Any] | None = None

    @property
    def is_augmented(self) -> bool:
        """Whether the network is told how its images were augmented."""
        return bool((self.card or {}).get("augmented"))

    def latent(
        self, noise: Sequence[int], call: Call | None = None, *, wants_source: bool = False, keyed: bool = False
    ) -> LatentGenerator:
        """A generator whose samples are made from noise of that shape, by ``call`` if not by the network itself; from
        real samples, and with more noise by their keys, if it says so."""
        made = LatentGenerator(self.network, self.spec, noise, call=call, card=self.card, coding=self.coding)
        made.conditions, made.wants_source, made.keyed = self.target.conditions, wants_source, keyed
        return made


def target_of(spec: Spec, coding: Coding, augmented: int = 0) -> Target:
    """What a network is to make for a spec: ``augmented`` numbers beside its conditions tell how samples were augmented
    when it was trained."""
    conditions = sum(one.size for one in spec.conditions.values())
    return Target(coding.shape, spec.classes.count, coding.bounded, conditions + augmented, coding.tokens)


def check_sizes(config: Any, **most: int) -> None:
    """Refuse a config, whoever wrote the card that it is of, with sizes beyond these, by name.

    >>> from types import SimpleNamespace
    >>> check_sizes(SimpleNamespace(width=64), width=WIDEST)
    """
    for name, limit in most.items():
        size = getattr(config, name)
        if size > limit:
            raise ValueError(f"{name}: expected {limit} or less, found {size}; leave it out")


def latent_generator(parts: Parts, sampling: Plain) -> NetworkGenerator:  # noqa: ARG001 - as every family's
    """A network from ``config.latent`` numbers of noise to a sample."""
    return parts.latent((parts.config.latent,))


@dataclass(frozen=True)
class Family:
    """One kind of generator.

    Attributes:
        name: what a card calls it.
        config: a frozen dataclass: how large it is; the part of a card that rebuilds it, beside spec and coding.
        network: ``network(target, config)``, untrained.
        trainer: what trains it.
        steps: of training, where nobody says how many.
        sampling: a frozen dataclass: what ``load`` may be told about how samples are made.
        generator: ``generator(parts, sampling)``.
        bfloat16: whether samples made in bfloat16 are within 0.02 of what they are in float32.
        codings: the kinds of samples that it can make, by their coding.
        jitter: whether it is trained on densities, and so needs samples that aren't distinct values.
    """

    name: str
    config: type[Any]
    network: Callable[[Target, Any], nn.Module]
    trainer: type[Trainer]
    steps: int
    sampling: type[Any] = Plain
    generator: Callable[[Parts, Any], NetworkGenerator] = latent_generator
    bfloat16: bool = False
    codings: tuple[str, ...] = ("unit", "table", "log_mel", "stft")
    jitter: bool = False

    def configure(self, values: Mapping[str, Any]) -> Any:
        """The config with these values; others than it knows are refused."""
        return _filled(self.config, values, f"{self.name}: config")

    def frozen(self, parts: Parts, attributes: Attributes, sampling: Any) -> NetworkGenerator:
        """The generator that these are the parts of."""
        made = self.generator(parts, sampling)
        made.attributes, made.allows_bfloat16, made.sampling = attributes, self.bfloat16, sampling
        return made

    def sample_by(self, options: Mapping[str, Any]) -> Any:
        """How samples are made, with these options; others than it knows are refused."""
        return _filled(self.sampling, options, f"{self.name}: load")


def _filled(kind: type[Any], values: Mapping[str, Any], what: str) -> Any:
    """A dataclass of plain values with some of them given, each of the type of its default, and whole ones above 0."""
    known = {field.name: field for field in fields(kind)}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise ValueError(
            f"{what}: expected {', '.join(known) or 'no options of its own'}, found {', '.join(unknown)}; leave it out"
        )
    return replace(
        kind(), **{name: _checked(value, known[name].default, f"{what}: {name}") for name, value in values.items()}
    )


def _checked(value: Any, default: Any, what: str) -> Any:
    if default is None:
        return value  # what has no value of its own is checked where it is used
    if isinstance(default, bool):
        is_right, kind = isinstance(value, bool), "True or False"
    elif isinstance(default, int):
        is_right, kind = type(value) is int and value > 0, "a whole number above 0"
    elif isinstance(default, float):
        is_right, kind = isinstance(value, (int, float)) and not isinstance(value, bool), "a number"
    else:
        is_right, kind = isinstance(value, str), "a word"
    if not is_right:
        raise ValueError(f"{what}: expected {kind}, found {value!r}; leave it out for {default!r}")
    return float(value) if isinstance(default, float) else value
