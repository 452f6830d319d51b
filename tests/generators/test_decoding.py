"""Texts from keys: what a language model continues doesn't depend on its batch."""

import math
import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from onthefly.generators.decoding import decode_tokens, gumbel

transformers = pytest.importorskip("transformers")

PROMPTS = [[5, 6, 7, 8, 9], [1, 2], [3]]


def gpt2(**options: Any) -> Any:
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_layer=2, n_embd=32, n_head=2, n_positions=80, vocab_size=90, initializer_range=0.3, **options
    )
    return transformers.GPT2LMHeadModel(config).eval()


def llama() -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlamaConfig(
        **sizes, max_position_embeddings=80, vocab_size=90, initializer_range=0.3, pad_token_id=None
    )
    return transformers.LlamaForCausalLM(config).eval()


class Fixed(nn.Module):
    """Says always the same about what comes next."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, input_ids: Tensor, past_key_values: Any = None, use_cache: bool = True) -> Any:
        logits = self.logits.expand(*input_ids.shape, len(self.logits))
        return SimpleNamespace(logits=logits, past_key_values=None)


@pytest.mark.parametrize("model", [gpt2(), gpt2(attn_implementation="eager"), llama()], ids=["gpt2", "eager", "llama"])
@pytest.mark.parametrize("options", [{}, {"temperature": 0.7, "top_k": 20, "top_p": 0.9}], ids=["plain", "narrowed"])
def test_a_text_is_its_prompt_and_key(model: Any, options: dict[str, Any]) -> None:
    prompts, keys = PROMPTS * 3, torch.arange(9) * 7919
    together = decode_tokens(model, prompts, keys, max_tokens=20, eos=0, **options)
    assert together.shape == (9, 20)
    assert len(together.unique(dim=0)) == 9
    for prompt, key, text in zip(prompts, keys, together, strict=True):
        assert torch.equal(decode_tokens(model, [prompt], key[None], max_tokens=20, eos=0, **options)[0], text)


def test_it_is_what_the_whole_text_read_anew_says() -> None:
    model, keys = gpt2(), torch.tensor([3, 4, 5])
    made = decode_tokens(model, PROMPTS, keys, max_tokens=12)
    for prompt, key, text in zip(PROMPTS, keys, made.tolist(), strict=True):
        for place, token in enumerate(text):
            with torch.no_grad():
                logits = model(torch.tensor([prompt + text[:place]])).logits[0, -1]
            assert (logits + gumbel(key[None], 90, (1 << 16) + place)[0]).argmax() == token


def test_padded_tensors_are_prompts_too() -> None:
    tokens = torch.tensor([[5, 6, 7, 8, 9], [0, 0, 0, 1, 2], [0, 0, 0, 0, 3]])
    keys, model = torch.tensor([3, 4, 5]), gpt2()
    made = decode_tokens(model, tokens, keys, mask=tokens != 0, max_tokens=5)
    assert torch.equal(made, decode_tokens(model, PROMPTS, keys, max_tokens=5))


def test_tokens_come_as_often_as_they_are_likely() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -3.0])
    made = decode_tokens(Fixed(logits), [[0]] * 4000, torch.arange(4000), temperature=0.8, max_tokens=5)
    expected = (logits / 0.8).softmax(0) * made.numel()
    statistic = ((made.flatten().bincount(minlength=5) - expected) ** 2 / expected).sum()
    assert statistic < 18.5  # chi-square of 4 degrees of freedom: 1 in 1,000


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"top_k": 2}, {0, 1}),
        ({"top_p": 0.6}, {0}),
        ({"top_p": 0.7}, {0, 1}),
        ({"top_k": 9, "top_p": 1.0}, set(range(5))),
    ],
)
def test_what_may_come_next(options: dict[str, Any], kept: set[int]) -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -2.0])  # 0.636, 0.234, 0.086, 0.032, 0.012
    made = decode_tokens(Fixed(logits), [[0]] * 500, torch.arange(500), max_tokens=3, **options)
    assert set(made.unique().tolist()) == kept


def test_gumbel_noise_is_gumbel_distributed() -> None:
    noise = gumbel(torch.arange(400), 501)
    assert noise.shape == (400, 501)
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.01)
    assert noise.var().item() == pytest.approx(math.pi**2 / 6, abs=0.03)
    assert not torch.equal(noise, gumbel(torch.arange(400), 501, stream=1))


def test_a_finished_text_stays_finished() -> None:
    model, keys = gpt2(), torch.arange(40)
    free = decode_tokens(model, [[1]] * 40, keys, max_tokens=40)
    ended = decode_tokens(model, [[1]] * 40, keys, max_tokens=40, eos=(7, 8, 9))
    assert free.shape == ended.shape
    some = 0
    for one, other in zip(free.tolist(), ended.tolist(), strict=True):
        length = next((place for place, token in enumerate(one) if token in (7, 8, 9)), 39) + 1
        assert other == one[:length] + [7] * (40 - length)
        some += length < 40
    assert 5 < some < 40


def test_it_stops_soon_after_all_texts_are_finished() -> None:
    model = Fixed(torch.tensor([0.0, 100.0]))
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    model.register_forward_hook(count)
    made = decode_tokens(model, [[0]] * 3, torch.arange(3), max_tokens=500, eos=1)
    assert made.shape == (3, 500)
    assert (made == 1).all()
    assert calls <= 16


def test_no_texts() -> None:
    assert decode_tokens(gpt2(), [], torch.zeros(0, dtype=torch.int64), max_tokens=4).shape == (0, 4)


def test_nothing_but_texts_is_made() -> None:
    model, before = gpt2(), torch.random.get_rng_state()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    made = decode_tokens(model, PROMPTS, torch.arange(3), max_tokens=4)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert not made.is_inference()


def test_64_texts_are_made_ten_times_as_fast_together() -> None:
    model, keys = gpt2(), torch.arange(64)
    decode_tokens(model, PROMPTS, keys[:3], max_tokens=4)
    ratios = []
    for _ in range(2):
        begun = time.perf_counter()
        decode_tokens(model, [[1, 2]] * 60 + [[3]] * 4, keys, max_tokens=16)
        middle = time.perf_counter()
        for key in keys[:8]:
            decode_tokens(model, [[1, 2]], key[None], max_tokens=16)
        ratios.append((time.perf_counter() - middle) * 8 / (middle - begun))
    assert max(ratios) > 10, ratios


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": 0}, ("temperature", "more than 0", "0", "temperature=1.0")),
        ({"temperature": math.nan}, ("temperature", "nan")),
        ({"top_k": 0}, ("top_k", "0")),
        ({"top_p": 1.5}, ("top_p", "(0, 1]", "1.5", "top_p=0.9")),
        ({"max_tokens": 0}, ("max_tokens", "0")),
        ({"max_tokens": 76}, ("max_tokens", "80 tokens", "5 + 76", "max_tokens=75")),
        ({"prompts": [[1] * 80]}, ("max_tokens", "80 + 4", "fewer than 80 tokens")),
        ({"prompts": [[]]}, ("prompts", "at least one token", "empty")),
        ({"prompts": PROMPTS[:2]}, ("prompts", "one for each of 1 keys", "found 2")),
        ({"prompts": torch.zeros(1, 0, dtype=torch.int64)}, ("prompts", "int64[N, L]", "[1, 0]")),
        ({"prompts": torch.ones(1, 2, dtype=torch.int64), "mask": torch.ones(1, 3)}, ("mask", "[1, 2]", "[1, 3]")),
        (
            {"prompts": torch.ones(1, 2, dtype=torch.int64), "mask": torch.tensor([[True, False]])},
            ("mask", "on the left", "padding_side='left'"),
        ),
    ],
)
def test_bad_input(options: dict[str, Any], words: tuple[str, ...], refused: Any) -> None:
    given = {"prompts": PROMPTS[:1], "max_tokens": 4, **options}
    refused(lambda: decode_tokens(gpt2(), keys=torch.tensor([1]), **given), *words)
