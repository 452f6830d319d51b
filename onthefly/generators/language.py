"""Language: a small class-conditional GPT-2 that writes texts, each of them a function of its class and key.

The model is that of Radford et al., "Language models are unsupervised multitask learners" (2019), from the library
``transformers``. What a text is to be, its class and conditions, is added to every token that the model reads, so a
text can't lose sight of it.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onthefly.extras import require
from onthefly.generators.family import DEEPEST, WIDEST, Family, check_sizes
from onthefly.generators.target import Target
from onthefly.generators.trainer import Losses, Trainer
from onthefly.generators.writing import LanguageGenerator, Writing
from onthefly.mixing.given import at_least_one

_LEARNING_RATE = 3e-3
_WEIGHT_DECAY = 0.1
_LARGEST = 1.0  # norm of a gradient
_HEAD = 32  # numbers that a head of the attention looks at
_SPREAD = 0.02  # standard deviation of new weights, as GPT-2's
_TOGETHER = 16  # texts


@dataclass(frozen=True)
class LanguageConfig:
    """The size of a language model.

    Attributes:
        width: numbers for each token inside.
        layers: of attention.
        dropout: the share of numbers that are left out in training.
        vocabulary: the most tokens, 256 of which are bytes.
        context: the most tokens in a text, its end among them; None for what the longest text needs.
    """

    width: int = 96
    layers: int = 3
    dropout: float = 0.1
    vocabulary: int = 1000
    context: int | None = None

    def __post_init__(self) -> None:
        check_sizes(self, width=WIDEST, layers=DEEPEST)
        if self.context is not None:
            at_least_one(self.context, "context")


class ClassGPT2(nn.Module):
    """A GPT-2 that is told what a text is to be."""

    def __init__(self, target: Target, config: LanguageConfig) -> None:
        super().__init__()
        transformers = require("transformers", extra="language")
        width, dropout = config.width, config.dropout
        sizes = transformers.GPT2Config(
            vocab_size=target.tokens,
            n_positions=target.shape[0],
            n_embd=width,
            n_layer=config.layers,
            n_head=_heads(width),
            resid_pdrop=dropout,
            embd_pdrop=dropout,
            attn_pdrop=0.0,  # with which attention is computed in one go
            activation_function="gelu_pytorch_tanh",  # GPT-2's own, in one operation
            bos_token_id=target.tokens - 1,
            eos_token_id=target.tokens - 1,
        )
        self.gpt2 = transformers.GPT2Model(sizes)
        self.label = nn.Embedding(target.classes, width)
        nn.init.normal_(self.label.weight, std=_SPREAD)
        self.conditions = nn.Linear(target.conditions, width, bias=False) if target.conditions else None
        self.end = target.tokens - 1

    def forward(
        self,
        tokens: Tensor,
        labels: Tensor,
        conditions: Tensor | None = None,
        past: Any = None,
        *,
        keep: bool = False,
        where: Tensor | None = None,
    ) -> tuple[Tensor, Any]:
        """What may come next after each token.

        Args:
            tokens: ``int64[N, L]``, the first of a text being the end of another one.
            labels: ``int64[N]``.
            conditions: ``float32[N, conditions]``; None where there are none.
            past: what was computed for tokens before these.
            keep: whether to return that.
            where: ``bool[N, L]``, after which tokens M it is asked; None for after all.

        Returns:
            Logits ``[N, L, tokens]``, or ``[M, tokens]``; and what was computed.
        """
        asked = self.label(labels)
        if self.conditions is not None:
            asked = asked + self.conditions(conditions)
        known = self.gpt2.wte.weight
        read = F.embedding(tokens, known) + asked[:, None]
        out = self.gpt2(inputs_embeds=read, past_key_values=past, use_cache=keep)
        inside = out.last_hidden_state if where is None else out.last_hidden_state[where]
        return inside @ known.T, out.past_key_values


class LanguageTrainer(Trainer):
    """Trains a language model; the learning rate rises and falls over the steps."""

    def __init__(
        self, target: Target, config: LanguageConfig, device: torch.device, steps: int, network: nn.Module | None = None
    ) -> None:
        self.model = (ClassGPT2(target, config) if network is None else cast(ClassGPT2, network)).to(device)
        learnt = [one for one in self.model.parameters() if one.requires_grad]
        # Matrices alone decay: biases, and the scales of normalisation, have nothing to forget.
        groups: list[dict[str, Any]] = [
            {"params": [one for one in learnt if one.ndim > 1]},
            {"params": [one for one in learnt if one.ndim < 2], "weight_decay": 0.0},
        ]
        self._step = torch.optim.AdamW(groups, _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._step, _LEARNING_RATE, total_steps=steps, pct_start=0.1, cycle_momentum=False
        )

    def step(self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None) -> Losses:
        """Returns the nats of a token."""
        self.model.train()
        self._step.zero_grad()
        nats = self._nats(samples, labels, conditions, learn=True)
        nn.utils.clip_grad_norm_(self.model.parameters(), _LARGEST)
        self._step.step()
        self._schedule.step()
        return {"nats": nats}

    @torch.no_grad()
    def score(self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Nats a token."""
        self.model.eval()
        return self._nats(samples, labels, conditions)

    def network(self) -> nn.Module:
        """The network as it is now."""
        return self.model

    def _nats(self, samples: Tensor, labels: Tensor, conditions: Tensor | None, *, learn: bool = False) -> Tensor:
        """Of a token, each text's end among them; texts of about one length together, so that little is filled up."""
        lengths = (samples != self.model.end).sum(dim=1) + 1
        nats, count = lengths.new_zeros((), dtype=torch.float32), lengths.sum()
        for rows in lengths.argsort().split(_TOGETHER):
            asked = None if conditions is None else conditions[rows]
            some = self._of_some(samples[rows], lengths[rows], labels[rows], asked) / count
            if learn:
                some.backward()
            nats += some.detach()
        return nats

    def _of_some(self, samples: Tensor, lengths: Tensor, labels: Tensor, conditions: Tensor | None) -> Tensor:
        samples = samples[:, : int(lengths.max())]
        read = F.pad(samples[:, :-1], (1, 0), value=self.model.end)
        written = torch.arange(samples.shape[1], device=samples.device) < lengths[:, None]
        logits, _ = self.model(read, labels, conditions, where=written)
        return F.cross_entropy(logits, samples[written], reduction="sum")


def _heads(width: int) -> int:
    """As many as there is room for, that divide the width."""
    return next(heads for heads in range(max(1, width // _HEAD), 0, -1) if width % heads == 0)


LANGUAGE = Family(
    "language",
    LanguageConfig,
    ClassGPT2,
    LanguageTrainer,
    steps=1500,
    sampling=Writing,
    generator=LanguageGenerator,
    codings=("text",),
)
