"""Language models of transformers: real classes, tiny."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader, Dataset

import onthefly
from onthefly.generators import from_transformers, save
from onthefly.generators.identity import identity
from tests.generators.adapters.models import WORDS, save_language

LABELS, KEYS = torch.tensor([0, 1, 0, 1, 0]), torch.tensor([5, 6, 7, 8, 2**40])
PROMPTS = {"ham": ("hello", "the news"), "spam": "win free money now"}


def model(kind: str) -> Any:
    torch.manual_seed(0)
    known = {"vocab_size": len(WORDS), "eos_token_id": 1, "bos_token_id": 2, "initializer_range": 0.3}
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    if kind == "gpt2":
        config = transformers.GPT2Config(**known, n_layer=2, n_embd=16, n_head=2, n_positions=40)
        return transformers.GPT2LMHeadModel(config)
    if kind == "bloom":
        return transformers.BloomForCausalLM(transformers.BloomConfig(**known, hidden_size=16, n_layer=1, n_head=2))
    if kind == "bert":
        return transformers.BertModel(transformers.BertConfig(**{**known, **sizes}, pad_token_id=0))
    config, cls = {
        "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
        "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM),
    }[kind]
    extra = {"num_key_value_heads": 1, "sliding_window": 24} if kind == "mistral" else {}
    return cls(config(**known, **sizes, **extra, max_position_embeddings=40, pad_token_id=None))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_language(tmp_path_factory.mktemp("gpt2"), model("gpt2"))


@pytest.mark.parametrize("kind", ["gpt2", "llama", "mistral"])
def test_a_text_is_its_key(kind: str, tmp_path: Path) -> None:
    folder = save_language(tmp_path / kind, model(kind))
    before = torch.random.get_rng_state()
    gen = from_transformers(folder, prompts=PROMPTS, max_tokens=10, temperature=0.9, top_k=12, top_p=0.95)
    among = gen.sample(LABELS, KEYS)
    assert all(isinstance(text, str) for text in among)
    assert len(set(among)) > 2
    assert {word for text in among for word in text.split()} <= set(WORDS) - {".", "<s>"}
    assert among == [gen.sample(LABELS[row : row + 1], KEYS[row : row + 1])[0] for row in range(5)]
    assert among == gen.running(batch_size=2).sample(LABELS, KEYS)
    assert torch.equal(before, torch.random.get_rng_state())
    assert gen.sample(LABELS[:0], KEYS[:0]) == []


def test_texts_are_what_default_collate_would_make(gpt2: Path) -> None:
    gen = from_transformers(gpt2, prompts=PROMPTS, max_tokens=6)
    texts, labels = gen.batch(LABELS, KEYS)
    assert texts == tuple(gen.sample(LABELS, KEYS))
    assert torch.equal(labels, LABELS)
    assert gen.items(LABELS[:1], KEYS[:1]) == [[texts[0], torch.tensor(0)]]
    assert (
        gen.map(lambda text, label: {"text": text.upper(), "y": label}).batch(LABELS, KEYS)["text"][0]
        == texts[0].upper()
    )
    assert gen.relabel({"bad": "spam"}).sample(LABELS[:1], KEYS[1:2]) == [texts[1]]


class Texts(Dataset[Any]):
    """12 texts of one class, 4 of another."""

    classes = ("ham", "spam")
    targets = (0,) * 12 + (1,) * 4

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> tuple[str, int]:
        return f"row {row}", self.targets[row]


def listed(samples: list[tuple[str, int]]) -> dict[str, Any]:
    return {"text": [text for text, _ in samples], "label": [label for _, label in samples]}


@pytest.mark.parametrize("collated", [True, False])
@pytest.mark.parametrize("ratio", [0.5, 1.0])
def test_a_mix_of_texts(gpt2: Path, collated: bool, ratio: float) -> None:
    gen = from_transformers(gpt2, prompts=PROMPTS, max_tokens=6, batch_size=8).reused(2)
    options = {} if collated else {"collate_fn": listed}
    plain = DataLoader(Texts(), batch_size=5, shuffle=True, **options)  # type: ignore[arg-type]
    loader = onthefly.wrap(plain, gen, balance="uniform", ratio=ratio, device="cpu", tag=True)
    synthetic = 0
    for batch in loader:
        texts, labels, info = batch if collated else batch.values()
        assert isinstance(texts, tuple if collated else list)
        assert type(labels) is (torch.Tensor if collated else list)
        for place, text in enumerate(texts):
            assert int(labels[place]) == info.label[place]
            assert info.synthetic[place] or text == f"row {info.source[place]}"
        made = gen.sample(info.label[info.synthetic], info.key[info.synthetic])
        assert made == [text for text, one in zip(texts, info.synthetic, strict=True) if one]
        synthetic += int(info.synthetic.sum())
    assert synthetic == 16 * ratio


def test_what_it_says_is_part_of_which_generator_it_is(gpt2: Path) -> None:
    one, other = (from_transformers(gpt2, prompts={"ham": text}, max_tokens=4) for text in ("hello", "news"))
    assert identity(one) == identity(from_transformers(gpt2, prompts={"ham": "hello"}, max_tokens=4))
    assert identity(one)["sha256"] != identity(other)["sha256"]


def test_a_model_that_reads_padding_takes_prompts_of_one_length(tmp_path: Path, refused: Any) -> None:
    folder = save_language(tmp_path / "bloom", model("bloom"))
    refused(
        lambda: from_transformers(folder, prompts=PROMPTS),
        "prompts",
        "one length",
        "BloomForCausalLM",
        "1 and 4 tokens",
    )
    gen = from_transformers(folder, prompts={"ham": "the news", "spam": "win money"}, max_tokens=6)
    among = gen.sample(LABELS, KEYS)
    assert among == [gen.sample(LABELS[row : row + 1], KEYS[row : row + 1])[0] for row in range(5)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompts": {"ham": "hello " * 38}}, ("max_tokens", "40 tokens", "38 + 4", "max_tokens=2")),
        ({"prompts": {"ham": "hello " * 40}}, ("max_tokens", "40 + 4", "fewer than 40 tokens")),
        ({"classes": ("ham", "spam", "eggs")}, ("prompts", "none for eggs")),
        ({"prompts": "a text"}, ("prompts", "{}")),
        ({"temperature": 0}, ("temperature", "0")),
        ({"top_k": -1}, ("top_k", "-1")),
        ({"top_p": 0}, ("top_p", "0")),
        ({"max_tokens": 0}, ("max_tokens", "0")),
        ({"batch_size": 0}, ("batch_size", "0")),
    ],
)
def test_bad_input(gpt2: Path, options: dict[str, Any], words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: from_transformers(gpt2, **{"prompts": PROMPTS, "max_tokens": 4, **options}), *words)


def test_folders_that_are_refused(gpt2: Path, tmp_path: Path, refused: Any) -> None:
    refused(lambda: from_transformers("gpt2", prompts=PROMPTS), "on this machine", "gpt2", error=FileNotFoundError)
    bert = save_language(tmp_path / "bert", model("bert"))
    refused(lambda: from_transformers(bert, prompts=PROMPTS), "causal language model", "BertModel")
    lone = tmp_path / "lone"
    model("gpt2").save_pretrained(lone)
    refused(
        lambda: from_transformers(lone, prompts=PROMPTS),
        "a tokenizer beside the model",
        "tokenizer.save_pretrained(folder)",
    )
    (lone / "model.safetensors").rename(lone / "pytorch_model.bin")
    refused(lambda: from_transformers(lone, prompts=PROMPTS), "expected safetensors", "pytorch_model.bin")
    config = json.loads((bert / "config.json").read_text()) | {"auto_map": {"AutoModelForCausalLM": "mine.Mine"}}
    (bert / "config.json").write_text(json.dumps(config))
    refused(lambda: from_transformers(bert, prompts=PROMPTS), "without code", "auto_map")


def test_weights_in_shards(gpt2: Path, tmp_path: Path, refused: Any) -> None:
    """Those of the folder are read; a pickle that its index names is not."""
    shutil.copytree(gpt2, tmp_path / "shards")
    model("gpt2").save_pretrained(tmp_path / "shards", max_shard_size="8KB")
    (tmp_path / "shards" / "model.safetensors").unlink()
    index = tmp_path / "shards" / "model.safetensors.index.json"
    named = json.loads(index.read_text())
    whole, parts = (from_transformers(path, prompts=PROMPTS, max_tokens=6) for path in (gpt2, index.parent))
    assert len(set(named["weight_map"].values())) > 1
    assert whole.sample(LABELS, KEYS) == parts.sample(LABELS, KEYS)
    torch.save(model("gpt2").state_dict(), index.parent / "w.bin")
    index.write_text(json.dumps({**named, "weight_map": dict.fromkeys(named["weight_map"], "w.bin")}))
    refused(lambda: from_transformers(index.parent, prompts=PROMPTS), "nothing but safetensors", "'w.bin'")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def with_config(folder: Path, **changed: Any) -> None:
    (folder / "config.json").write_text(json.dumps({**json.loads((folder / "config.json").read_text()), **changed}))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda path: cut(path / "model.safetensors"), ("a causal language model", "SafetensorError")),
        (lambda path: with_config(path, n_embd=20), ("a causal language model", "mismatch")),
        (lambda path: with_config(path, n_head=0), ("a causal language model",)),
        (lambda path: with_config(path, n_layer=[]), ("a causal language model",)),
        (lambda path: with_config(path, n_layer=3), ("weights without transformer.h.2",)),
        (lambda path: with_config(path, model_type="no such"), ("a causal language model", "no such")),
        (lambda path: with_config(path, quantization_config={"quant_method": "awq"}), ("a causal language model",)),
        (lambda path: (path / "tokenizer.json").write_text("[]"), ("a tokenizer",)),
    ],
)
def test_folders_that_are_broken(gpt2: Path, tmp_path: Path, harm: Any, words: tuple[str, ...], refused: Any) -> None:
    shutil.copytree(gpt2, tmp_path / "broken")
    harm(tmp_path / "broken")
    refused(
        lambda: from_transformers(tmp_path / "broken", prompts=PROMPTS),
        "from_transformers: expected",
        *words,
        "copy",
    )


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_not_finite(gpt2: Path, tmp_path: Path, value: float, refused: Any) -> None:
    shutil.copytree(gpt2, tmp_path / "nan")
    tensors = load_file(gpt2 / "model.safetensors")
    tensors["transformer.h.1.mlp.c_fc.bias"][3] = value
    save_file(tensors, tmp_path / "nan" / "model.safetensors", {"format": "pt"})
    refused(
        lambda: from_transformers(tmp_path / "nan", prompts=PROMPTS),
        "from_transformers: expected finite weights",
        "transformer.h.1.mlp.c_fc.bias",
        "copy them again",
    )


def test_what_it_cannot_do(gpt2: Path, refused: Any) -> None:
    gen = from_transformers(gpt2, prompts=PROMPTS, max_tokens=4)
    refused(lambda: gen.running(compile=True), "running", "TransformersGenerator", error=TypeError)
    refused(lambda: save(gen, "x.safetensors"), "save", "TransformersGenerator")


def test_without_transformers(gpt2: Path, monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    refused(
        lambda: from_transformers(gpt2, prompts=PROMPTS),
        "transformers could not be imported",
        'pip install "onthefly-torch[language]"',
        error=ImportError,
    )
