"""What a language model is asked for: texts of some classes, each of which is left alone once it is finished."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

_LOOK_EVERY = 16  # tokens, between looks at which texts are finished: a look waits for the device


class Asked(nn.Module):
    """A network and what some texts are to be, as ``decode_tokens`` reads a model.

    Texts end at different lengths. Whenever half of those being read are finished, only the others are read on, so that
    a long one doesn't cost what a batch of long ones would.

    Args:
        network: ``network(tokens, labels, conditions, past, keep=...)`` to logits and what was computed.
        labels: ``int64[N]``.
        conditions: ``float32[N, conditions]``; None where there are none.
        end: the token after which a text is finished.
    """

    def __init__(self, network: nn.Module, labels: Tensor, conditions: Tensor | None, end: int) -> None:
        super().__init__()
        self.network, self.end, self.count = network, end, len(labels)
        self.labels, self.conditions = labels, conditions
        self.rows = torch.arange(len(labels), device=labels.device)
        self.finished = torch.zeros_like(labels, dtype=torch.bool)
        self.reads = 0

    def forward(self, input_ids: Tensor, past_key_values: Any = None, use_cache: bool = True) -> SimpleNamespace:
        """Logits ``[N, L, tokens]``, of finished texts 0, and what was computed."""
        if past_key_values is not None:  # the first token is the end of another text
            self.finished |= input_ids[self.rows, -1] == self.end
            self._leave_out(past_key_values)
        asked = input_ids if len(self.rows) == self.count else input_ids[self.rows]
        logits, past = self.network(asked, self.labels, self.conditions, past_key_values, keep=use_cache)
        if len(self.rows) < self.count:
            logits = logits.new_zeros((self.count, *logits.shape[1:])).index_copy_(0, self.rows, logits)
        return SimpleNamespace(logits=logits, past_key_values=past)

    def _leave_out(self, past: Any) -> None:
        self.reads += 1
        if self.reads % _LOOK_EVERY:
            return
        going = (~self.finished).nonzero()[:, 0]
        if not 0 < 2 * len(going) <= len(self.rows):
            return
        past.batch_select_indices(going)
        self.rows, self.labels, self.finished = self.rows[going], self.labels[going], self.finished[going]
        self.conditions = None if self.conditions is None else self.conditions[going]
