"""What a checkpoint's file must be before it is parsed, and which file it is."""

import json
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import onthefly
from onthefly.generators import FrozenGenerator, integrity, load, read_card, save
from onthefly.generators.integrity import check_header, check_sha256, sha256_of, unchanged


@pytest.fixture
def path(generators: dict[str, FrozenGenerator]) -> Path:
    return save(generators["vae"], Path("generator.safetensors"))


def written(header: Any, data: bytes = b"") -> Path:
    """A file with that header, text or not yet text, and that after it."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path = Path("written.safetensors")
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(begin: int, end: int) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}


def test_a_whole_file_is_accepted(path: Path) -> None:
    check_header(path)
    check_header(written({"one": entry(0, 2), "__metadata__": {"onthefly": '{"[": "]"}'}}, b"ab"))


@pytest.mark.parametrize(
    ("header", "data", "words"),
    [
        ({"one": entry(0, 4)}, b"abc", ("expected 4 bytes of tensors, found 3",)),
        ({"one": entry(0, 2)}, b"abc", ("expected 2 bytes of tensors, found 3",)),
        ({"one": entry(0, 1 << 60)}, b"abc", (f"expected {1 << 60} bytes",)),
        ({"one": entry(3, 0)}, b"", ("where 'one' begins and ends",)),
        ({"one": {"data_offsets": [0, "3"]}}, b"abc", ("where 'one' begins and ends",)),
        ({"one": {"data_offsets": [0, 1, 2]}}, b"abc", ("where 'one' begins and ends",)),
        ({"one": 3}, b"", ("where 'one' begins and ends, found 3",)),
        ("[1]", b"", ("a JSON object", "a list")),
        ("{", b"", ("its header is not JSON",)),
        ('{"one": ' + json.dumps(entry(0, 1)) + ', "one": ' + json.dumps(entry(0, 1)) + "}", b"a", ("'one' twice",)),
        ('{"one": {"shape": [1], "shape": [2]}}', b"", ("'shape' twice",)),
        ('{"one": ' + "[" * 100_000 + "]" * 100_000 + "}", b"", ("at most 64 levels of nesting", "found 100001")),
    ],
)
def test_headers_that_are_refused(header: Any, data: bytes, words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: read_card(written(header, data)), "written.safetensors", *words)


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        ("_HEADER_BYTES", "bytes of header"),
        ("_CARD_BYTES", "bytes of card"),
        ("_TENSORS", "tensors"),
        ("_NESTING", "levels of nesting in its header"),
    ],
)
def test_every_bound_holds(path: Path, bound: str, words: str, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, bound, 1)
    refused(lambda: load(path), "generator.safetensors", f"at most 1 {words}, found")


def test_a_card_nested_too_deep(refused: Any) -> None:
    """Whatever the interpreter's own limit is."""
    card = written({"__metadata__": {"onthefly": "[" * 5000}})
    refused(lambda: load(card), "at most 64 levels of nesting in its card, found 5000")


def test_a_lie_about_the_header_s_length_takes_no_memory(refused: Any) -> None:
    Path("liar.safetensors").write_bytes(((1 << 63) - 1).to_bytes(8, "little") + b"{}")
    refused(lambda: load("liar.safetensors"), "not a whole safetensors file", f"{(1 << 63) - 1} bytes of header")


@pytest.mark.parametrize("text", ['"' + '\\"' * 500_000, "[" * 500_000, "\\" * 500_000, '"' * 500_001])
def test_nesting_is_measured_in_one_pass_whatever_the_text(text: str, refused: Any) -> None:
    begin = perf_counter()
    refused(lambda: check_header(written(text)), "written.safetensors")
    assert perf_counter() - begin < 5  # in quadratic time these take hours


def test_the_sha256_of_a_file_is_known(path: Path, plain: DataLoader[Any]) -> None:
    loaded = load(path)
    assert loaded.sha256 == sha256_of(path)
    loader = onthefly.wrap(plain, loaded.map(lambda image, label: [image, label]), ratio=0.5, device="cpu")
    assert loader.stats().checkpoints == {"generator.safetensors": loaded.sha256}
    assert str(loader.stats()).endswith(f"\ngenerator.safetensors: SHA-256 {loaded.sha256}")
    whole = onthefly.wrap(plain, loaded, ratio=0.5, device="cpu").manifest()["generator"]
    assert whole["file_sha256"] == loaded.sha256
    assert whole["path"] == str(path.resolve())


def test_only_files_have_one(generators: dict[str, FrozenGenerator], plain: DataLoader[Any]) -> None:
    fake = onthefly.wrap(plain, generators["fake"], ratio=0.5, device="cpu")
    assert (generators["fake"].sha256, fake.stats().checkpoints) == (None, {})
    assert onthefly.wrap(plain, device="cpu").stats().checkpoints == {}


def test_another_file_than_the_expected_one(path: Path, refused: Any) -> None:
    expected = sha256_of(path)
    assert load(path, sha256=f" {expected.upper()}\n").sha256 == expected
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    refused(lambda: load(path, sha256=expected), "generator.safetensors", expected, sha256_of(path))
    refused(lambda: check_sha256(path, "abc"), "64 hexadecimal digits", "'abc'", "sha256sum")


def test_a_file_that_changes_while_it_is_read(path: Path, refused: Any) -> None:
    def read() -> None:
        with unchanged(path):
            path.write_bytes(path.read_bytes() + b" ")

    refused(read, "generator.safetensors", "changed while it was read")


def test_what_was_there_stays_until_the_new_file_is_whole(
    path: Path, generators: dict[str, FrozenGenerator], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def killed(tensors: Any, where: Path, metadata: Any) -> None:
        Path(where).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("onthefly.generators.checkpoint.save_file", killed)
    with pytest.raises(KeyboardInterrupt):
        save(generators["vae"], path)
    assert path.read_bytes() == before


def test_what_is_written_over_a_file_doesn_t_reach_what_was_loaded(path: Path) -> None:
    loaded = load(path)
    before = {name: tensor.clone() for name, tensor in loaded.network.state_dict().items()}  # type: ignore[attr-defined]
    path.write_bytes(b"\xff" * path.stat().st_size)
    after = loaded.network.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(before[name], after[name]) for name in before)
