"""The language family: texts of their class, each of them its class and key, whatever stands beside it."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, default_collate

import onthefly
from onthefly.generators import asked, course, load, save, train
from onthefly.generators.language import LanguageTrainer
from onthefly.generators.looks import look
from onthefly.generators.texts import text_page

pytest.importorskip("transformers")

WORDS = {"ham": ["are you there", "see you at home", "i am late"], "spam": ["win cash now", "call to win", "free cash"]}
ENDS = ["", "!", "..."]
SMALL = {"width": 32, "layers": 1, "vocabulary": 300}
LABELS, KEYS = torch.arange(64) % 2, torch.arange(64) * 7919


class Messages:
    """Short texts of two classes."""

    classes = ("ham", "spam")

    def __init__(self, words: dict[str, list[str]] = WORDS, times: int = 8) -> None:
        found = [(text + end, row) for row, some in enumerate(words.values()) for text in some for end in ENDS] * times
        self.texts, self.targets = [text for text, _ in found], [label for _, label in found]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, row: int) -> tuple[str, int]:
        return self.texts[row], self.targets[row]


def trained(data: Any = None, **options: Any) -> Any:
    known = {"config": SMALL, "steps": 2, "progress": False}
    return train("language", Messages() if data is None else data, **{**known, **options})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that has learnt the messages."""
    return save(
        trained(steps=300, batch_size=16, about={"licence": "CC0"}),
        tmp_path_factory.mktemp("language") / "sms.safetensors",
    )


@pytest.fixture
def model(path: Path) -> Any:
    return load(path)


def test_texts_keep_to_their_class(model: Any) -> None:
    texts, labels = model.batch(LABELS, KEYS)
    known = {text + end: row for row, some in enumerate(WORDS.values()) for text in some for end in ENDS}
    right = sum(known.get(text) == label for text, label in zip(texts, labels.tolist(), strict=True))
    assert right > 50
    assert len(set(texts)) > 8


def test_what_it_yields_is_what_default_collate_makes(model: Any) -> None:
    expected = default_collate([Messages()[row] for row in range(3)])
    found = model.batch(LABELS[:3], KEYS[:3])
    assert [type(part) for part in found] == [type(part) for part in expected]
    assert found[1].dtype == expected[1].dtype
    assert model.items(LABELS[:3], KEYS[:3]) == [[text, label] for text, label in zip(*found, strict=True)]
    assert [len(part) for part in model.batch(LABELS[:0], KEYS[:0])] == [0, 0]


@pytest.mark.parametrize("options", [{}, {"temperature": 0.7, "top_p": 0.9}, {"top_k": 5, "max_tokens": 4}], ids=str)
def test_a_text_is_its_class_and_key(path: Path, options: dict[str, Any]) -> None:
    model = load(path, **options)
    together = model.sample(LABELS, KEYS)
    back = torch.arange(63, -1, -1)
    assert model.running(batch_size=5).sample(LABELS[back], KEYS[back]) == together[::-1]
    assert [model.sample(LABELS[[row]], KEYS[[row]])[0] for row in range(0, 64, 9)] == together[::9]
    assert model.sample(1 - LABELS, KEYS) != together
    assert model.sample(LABELS, KEYS + 1) != together


def test_texts_that_are_finished_are_not_read_on(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same texts, and most of the reading is of the few long ones."""
    expected, read = model.sample(LABELS, KEYS), []
    whole = model.network.forward

    def counted(tokens: Tensor, *others: Any, **options: Any) -> Any:
        read.append(len(tokens))
        return whole(tokens, *others, **options)

    monkeypatch.setattr(model.network, "forward", counted)
    monkeypatch.setattr(asked, "_LOOK_EVERY", 1)
    assert model.sample(LABELS, KEYS) == expected
    assert read[0] == 64
    assert sorted(read, reverse=True) == read
    assert read[-1] < 32


def test_nothing_else_is_touched(model: Any) -> None:
    state, weights = torch.random.get_rng_state(), {k: v.clone() for k, v in model.network.state_dict().items()}
    model.sample(LABELS[:4], KEYS[:4])
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.is_grad_enabled()
    assert all(torch.equal(weights[name], now) for name, now in model.network.state_dict().items())
    assert not any(part.training for part in model.network.modules())


def test_tokens_are_what_texts_are_made_of(path: Path, model: Any) -> None:
    tokens = load(path, output="tokens")
    made, labels = tokens.batch(LABELS, KEYS)
    assert (made.dtype, tuple(made.shape)) == (torch.int64, (64, *model.coding.shape))
    assert tokens.spec.field.shape == made.shape[1:]
    assert labels.equal(LABELS)
    assert tokens.coding.decode(made) == model.sample(LABELS, KEYS)
    short = load(path, output="tokens", max_tokens=3).sample(LABELS, KEYS)
    assert short.equal(made[:, :3])


def test_a_mix_of_tokens(path: Path) -> None:
    tokens = load(path, output="tokens")
    real = TensorDataset(tokens.coding.encode(Messages().texts), torch.tensor(Messages().targets))
    loader = onthefly.wrap(DataLoader(real, batch_size=16, shuffle=True), tokens, ratio=0.5, tag=True)
    for made, labels, mix in loader:
        assert made.dtype == torch.int64
        fakes = mix.synthetic
        assert made[fakes].equal(tokens.sample(labels[fakes], mix.key[fakes]))
    assert loader.stats()


def test_a_card_rebuilds_it(path: Path) -> None:
    made = trained(conditions={"mood": ["sad", "glad"] * (len(Messages()) // 2)})
    again = load(save(made, "again.safetensors"))
    assert again.sample(LABELS, KEYS) == made.sample(LABELS, KEYS)
    assert again.spec == made.spec
    assert path.stat().st_size < 400_000


def test_a_copy_writes_the_same(model: Any) -> None:
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert again.sample(LABELS[:8], KEYS[:8]) == model.sample(LABELS[:8], KEYS[:8])


def test_texts_in_a_mix(model: Any) -> None:
    loader = onthefly.wrap(DataLoader(Messages(), batch_size=16, shuffle=True), model, ratio=0.5, tag=True)
    texts, labels, mix = next(iter(loader))
    rows = mix.synthetic.nonzero()[:, 0]
    assert len(texts) == 16
    assert [texts[row] for row in rows.tolist()] == model.sample(labels[rows], mix.key[rows])


def test_conditions_are_kept_to() -> None:
    data = Messages({"only": ["sun", "rain"]}, times=20)
    data.classes = ("only",)
    known = {"weather": [text.strip("!.") for text in data.texts]}
    made = save(trained(data, steps=150, batch_size=16, conditions=known), "weather.safetensors")
    for weather in ("sun", "rain"):
        texts = load(made, attributes={"weather": weather}).sample(LABELS * 0, KEYS)
        assert sum(weather in text for text in texts) > 48


def test_equal_seeds_give_equal_checkpoints() -> None:
    files = [save(trained(seed=seed), "one.safetensors").read_bytes() for seed in (1, 1, 2)]
    assert files[0] == files[1] != files[2]


def test_a_killed_training_goes_on_as_if_it_had_not_been(monkeypatch: pytest.MonkeyPatch) -> None:
    def going(**options: Any) -> bytes:
        return save(trained(steps=7, batch_size=8, **options), "one.safetensors").read_bytes()

    expected, whole, done = going(), LanguageTrainer.step, []

    def dying(self: Any, *batch: Any) -> Any:
        done.append(1)
        if len(done) == 5:
            raise RuntimeError
        return whole(self, *batch)

    monkeypatch.setattr(course, "_SECONDS", -1.0)
    with monkeypatch.context() as patch:
        patch.setattr(LanguageTrainer, "step", dying)
        with pytest.raises(RuntimeError):
            going(resume="going.state")
    assert going(resume="going.state") == expected


def test_a_checkpoint_is_gone_on_with_for_other_classes(path: Path) -> None:
    class Others(Messages):
        classes = ("spam", "more")

    data = Others({"spam": WORDS["spam"], "more": ["are you late"]}, times=2)
    made = train("language", data, init=path, steps=150, batch_size=16, progress=False)
    texts = made.sample(torch.ones(32, dtype=torch.int64), KEYS[:32])
    assert sum(text.startswith("are you late") for text in texts) > 12
    assert made.card["init"]["file"] == path.name


def test_a_page_shows_real_texts_beside_synthetic_ones(model: Any) -> None:
    page = look(model, "sheet.png", real=[["are you there?"], []])
    assert page == Path("sheet.txt")
    text = page.read_text()
    assert text.index("ham") < text.index("are you there?") < text.index("\nspam")
    made = model.sample(torch.tensor([0, 1]), torch.tensor([0, 3]))
    text = text_page(model, "few.txt", each=3).read_text()
    assert all(one in text for one in made)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"output": "words"}, ("output", "'text' or 'tokens'", "'words'")),
        ({"temperature": 0.0}, ("temperature", "more than 0", "0.0")),
        ({"top_p": 1.5}, ("top_p", "(0, 1]", "1.5")),
        ({"max_tokens": 1000}, ("max_tokens", "at most", "1000")),
        ({"dtype": "bfloat16"}, ("dtype", "float32", "leave dtype= out")),
        ({"compile": True}, ("compile", "False", "leave it out")),
        ({"steps": 4}, ("language: load", "temperature", "steps")),
    ],
    ids=lambda value: str(next(iter(value))),
)
def test_what_cannot_be_is_refused_at_once(path: Path, options: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: load(path, **options), *words)


def test_bad_samples_are_refused(refused: Any) -> None:
    images = TensorDataset(torch.rand(4, 1, 8, 8), torch.arange(4) % 2)
    refused(lambda: trained(images), "samples that a language can make (text)", "unit", "another family")
    refused(lambda: train("vae", Messages(), steps=1), "samples that a vae can make", "text", "another family")
    refused(lambda: trained(config={**SMALL, "context": "long"}), "context: expected a whole number", "'long'")
    refused(lambda: trained(config={**SMALL, "context": 3}), "text:", "at most 3 tokens", "row 0", "'context'")


@pytest.mark.gpu
def test_the_gpu_writes_the_same_texts(path: Path) -> None:
    expected = load(path).sample(LABELS, KEYS)
    model = load(path, device="cuda")
    assert model.sample(LABELS.cuda(), KEYS.cuda())[0] == expected
    assert model.running(batch_size=3).sample(LABELS.cuda(), KEYS.cuda())[0] == expected
