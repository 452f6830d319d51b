"""Language models of ``transformers`` as frozen generators."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from onthefly.data.hermetic import hermetic
from onthefly.data.spec import Field, Spec
from onthefly.extras import require
from onthefly.generators.adapters.folder import Folder
from onthefly.generators.adapters.foreign import ForeignGenerator
from onthefly.generators.adapters.loading import load_network, load_tokenizer
from onthefly.generators.adapters.prompts import Prompts
from onthefly.generators.decoding import Reader, check_context, check_options, decode_tokens
from onthefly.generators.padding import side_by_side
from onthefly.generators.running import device_of


class TransformersGenerator(ForeignGenerator):
    """A causal language model that continues the prompts of a class, each text by its key.

    Args:
        network: the model.
        tokenizer: its tokenizer.
        prompts: of each class.
        options: of ``decode_tokens``.
        card: what is known about it.
    """

    def __init__(
        self, network: nn.Module, tokenizer: Any, prompts: Prompts, options: dict[str, Any], card: Mapping[str, Any]
    ) -> None:
        super().__init__(network, Spec({"text": Field((), "str")}, prompts.classes), card=card)
        self.tokenizer, self.prompts = tokenizer, prompts
        self._options, self._tokens = options, _tokens(tokenizer, prompts.texts)
        check_context(network, max(map(len, self._tokens)), options["max_tokens"])
        _check_padding(network, self._tokens)

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> list[str]:
        """``int64[N]`` classes and ``int64[N]`` keys to N texts, each what follows its prompt."""
        size = self.batch_size or max(len(keys), 1)
        pieces = [slice(begin, begin + size) for begin in range(0, len(keys), size)]
        return [text for some in pieces for text in self.at_once(labels[some], keys[some])]

    def at_once(self, labels: Tensor, keys: Tensor, sources: Any = None) -> list[str]:
        chosen = self.prompts.of_samples(labels, keys).tolist()
        tokens = decode_tokens(self.network, [self._tokens[number] for number in chosen], keys, **self._options)
        texts: list[str] = self.tokenizer.batch_decode(
            tokens.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return texts

    def to(self, device: torch.device | str) -> Self:
        self.prompts.to(device)
        return super().to(device)


def from_transformers(
    folder: str | Path,
    *,
    prompts: Any,
    classes: Any = None,
    max_tokens: int = 64,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
) -> TransformersGenerator:
    """A causal language model of ``transformers`` as a frozen generator of texts, from a folder that
    ``save_pretrained`` wrote, with its tokenizer.

    Only safetensors are read, and no code that the folder brings is run. Weights are used in float32.

    Args:
        folder: on this machine.
        prompts: what the texts of each class follow: ``{class: prompt, or several}``, or a template with ``{}`` for the
            name of the class, or several. Among several a sample's key chooses. The prompt isn't part of the text.
        classes: their names in order, where ``prompts`` is a template.
        max_tokens: how long a text may be; it ends sooner where the model says so.
        temperature: less than 1 for likelier texts; see ``decode_tokens`` for this and the next two.
        top_k: only so many tokens may be next; None for any.
        top_p: only the likeliest tokens may be next that together have this probability; None for any.
        batch_size: the most texts to make at a time; by default what a short measurement finds fastest.
        device: where it runs, and stays; by default wherever a loader delivers, until then the CPU.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: for a folder of pickles only, that asks for code of its own, holds another kind of model, lacks
            weights, or has some that are NaN; for one that doesn't load; for a class without a prompt, and a prompt
            too long for the model.
        ImportError: without ``transformers``, saying what to install.

    >>> from tempfile import mkdtemp
    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
    >>> folder = mkdtemp()
    >>> words = Tokenizer(models.WordLevel({word: place for place, word in enumerate("? . hi win now".split())}, "?"))
    >>> words.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> _ = PreTrainedTokenizerFast(tokenizer_object=words, eos_token=".").save_pretrained(folder)
    >>> sizes = GPT2Config(vocab_size=5, n_layer=1, n_head=1, n_embd=8, n_positions=32, eos_token_id=1)
    >>> GPT2LMHeadModel(sizes).save_pretrained(folder)
    >>> gen = from_transformers(folder, prompts={"ham": "hi", "spam": "win"}, max_tokens=8)
    >>> [type(text).__name__ for text in gen.sample(torch.tensor([0, 1]), torch.tensor([7, 8]))]
    ['str', 'str']
    """
    check_options(temperature, top_k, top_p, max_tokens)
    opened = Folder(folder, "config.json", "from_transformers")
    opened.check_weights(opened.path)
    known = Prompts(prompts, classes)
    transformers = require("transformers", extra="language")
    with hermetic(0):
        network = _model(transformers, opened)
        tokenizer = load_tokenizer(opened, opened.path, transformers.AutoTokenizer, trust_remote_code=False)
    options = {"max_tokens": max_tokens, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    ends = getattr(network.generation_config, "eos_token_id", None)
    options["eos"] = tokenizer.eos_token_id if ends is None else ends
    card = {"model": type(network).__name__, "prompts": known.texts} | options
    made = TransformersGenerator(network, tokenizer, known, options, card)
    made = made if device is None else made.to(device)
    return made.running(batch_size=batch_size)


def _model(transformers: Any, folder: Folder) -> Any:
    what = f"a causal language model (it says {folder.index.get('architectures')})"
    load = transformers.AutoModelForCausalLM.from_pretrained
    return load_network(folder, folder.path, what, load, trust_remote_code=False)


def _tokens(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    tokens: list[list[int]] = tokenizer(texts)["input_ids"]
    begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return [some or ([] if begin is None else [begin]) for some in tokens]


def _check_padding(network: nn.Module, tokens: list[list[int]]) -> None:
    """A model that can't be told what is padding would say something else beside a longer prompt."""
    shortest, longest = min(tokens, key=len), max(tokens, key=len)
    if len(shortest) == len(longest):
        return
    try:
        alone, beside = (_next(network, prompts)[0] for prompts in ([shortest], [shortest, longest]))
        same, why = torch.allclose(alone, beside, rtol=1e-3, atol=1e-3), "which reads padding too"
    except (ValueError, RuntimeError, TypeError, IndexError) as error:
        same, why = False, f"which can't be told what is padding ({error})"
    if not same:
        raise ValueError(
            f"prompts: expected prompts of one length for {type(network).__name__}, {why}, found {len(shortest)} and "
            f"{len(longest)} tokens; make them equally long"
        )


@torch.no_grad()
def _next(network: nn.Module, prompts: list[list[int]]) -> Tensor:
    """Logits of what comes after each prompt."""
    tokens, mask = side_by_side(prompts, device_of(network))
    return Reader(network, mask, 1).read(tokens)
