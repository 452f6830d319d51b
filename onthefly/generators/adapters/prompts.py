"""What to say for a class: one prompt or several, of which a sample's key chooses."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from onthefly.generators.noise import philox
from onthefly.mixing.classes import Classes
from onthefly.mixing.keys import Purpose


class Prompts(nn.Module):
    """The prompts of each class.

    Args:
        prompts: ``{class: prompt, or several}``, by name or number; or a template, or several, in which ``{}`` stands
            for the name of a class.
        classes: their names in order, or how many; a template needs names, a table brings its own.

    Attributes:
        classes: those that have prompts: all.
        texts: all prompts, each once.

    Raises:
        ValueError: for a class without a prompt, or a template without ``{}``.

    >>> Prompts(["a photo of a {}", "a {}"], ("cat", "dog")).texts
    ['a photo of a cat', 'a cat', 'a photo of a dog', 'a dog']
    >>> Prompts({"ham": "Hi!", "spam": ("Win", "Free")}).of_samples(torch.tensor([0, 1]), torch.tensor([5, 7]))
    tensor([0, 2])
    """

    def __init__(self, prompts: Any, classes: Any = None) -> None:
        super().__init__()
        table = _filled_in(prompts, classes)
        self.classes = Classes.of_keys(table, "prompts") if classes is None else Classes.of(classes)
        given = {self.classes.number(key, "prompts"): _several(some, key) for key, some in table.items()}
        missing = sorted(set(range(self.classes.count)) - set(given))
        if missing:
            raise ValueError(
                f"prompts: expected one for each of {self.classes}, found none for {self.classes.listed(missing)}; add "
                "them, or leave the classes out"
            )
        self.texts = list(dict.fromkeys(text for number in range(len(given)) for text in given[number]))
        place = {text: number for number, text in enumerate(self.texts)}
        most = max(map(len, given.values()))
        rows = [[place[text] for text in given[number]] for number in range(len(given))]
        self.register_buffer("options", torch.tensor([row + [-1] * (most - len(row)) for row in rows]))
        self.options: Tensor

    def of_samples(self, labels: Tensor, keys: Tensor) -> Tensor:
        """Which prompt each sample has, among ``texts``: ``int64[N]``."""
        several = (self.options >= 0).sum(dim=1)[labels]
        return self.options[labels, philox(keys, 1, stream=Purpose.PROMPT)[:, 0] % several]


def _filled_in(prompts: Any, classes: Any) -> Mapping[Any, Any]:
    """A table, of templates too."""
    if isinstance(prompts, Mapping):
        if not prompts:
            raise ValueError("prompts: expected one for each class, found none; write {'cat': 'a photo of a cat', ...}")
        return prompts
    templates = _several(prompts, "prompts")
    if any("{}" not in template for template in templates):
        raise ValueError(
            f"prompts: expected {{class: prompt}}, or a template with {{}} where the name of the class belongs, found "
            f"{prompts!r}; write 'a photo of a {{}}' and classes=('cat', 'dog')"
        )
    known = Classes.of(classes) if classes is not None else None
    if known is None or known.names is None:
        raise ValueError(
            f"classes: expected the names that belong into the template {templates[0]!r}, found {classes!r}; write "
            "classes=('cat', 'dog')"
        )
    return {name: [template.replace("{}", name) for template in templates] for name in known.names}


def _several(prompts: Any, key: Any) -> list[str]:
    several = [prompts] if isinstance(prompts, str) else list(prompts) if isinstance(prompts, Iterable) else []
    if not several or not all(isinstance(text, str) for text in several):
        raise ValueError(
            f"prompts: expected a text or several for {key!r}, found {prompts!r}; write {{{key!r}: 'a photo of ...'}}"
        )
    return several
