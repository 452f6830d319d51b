"""What folders may hold: refused before anything of them is loaded."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from onthefly.generators.adapters.folder import Folder, variant

INDEX = "config.json"


def folder(path: Path, **files: Any) -> Path:
    path.mkdir(parents=True)
    for name, config in files.items():
        (path / f"{name}.json").write_text(json.dumps(config))
    return path


def test_safetensors_beside_pickles_are_enough(tmp_path: Path) -> None:
    part = folder(tmp_path / "x" / "unet")
    (part / "model.safetensors").touch()
    torch.save({}, part / "model.bin")
    folder(tmp_path / "y", config={"a": 1})
    (tmp_path / "x" / INDEX).write_text("{}")
    assert Folder(tmp_path / "x", INDEX, "test").part("unet") == part
    assert Folder(tmp_path / "y", INDEX, "test").index == {"a": 1}


@pytest.mark.parametrize("suffix", ["bin", "pt", "ckpt", "pkl"])
def test_pickles_are_refused_with_the_way_out(tmp_path: Path, suffix: str, refused: Any) -> None:
    path = folder(tmp_path / "x", config={})
    (path / f"model.{suffix}").touch()
    refused(
        lambda: Folder(path, INDEX, "from_transformers").check_weights(path),
        "from_transformers: expected safetensors",
        f"model.{suffix}",
        "can run code",
        "safe_serialization=True",
    )


@pytest.mark.parametrize("name", ["w.bin", "../other/w.safetensors", "in/w.safetensors", "/w.safetensors", 3, None])
@pytest.mark.parametrize("index", ["model.safetensors.index", "model.safetensors.index.fp16"])
def test_shards_are_safetensors_of_the_folder(tmp_path: Path, index: str, name: Any, refused: Any) -> None:
    path = folder(tmp_path / "x", **{"config": {}, index: {"weight_map": {"a": "w.safetensors", "b": name}}})
    (path / "w.safetensors").touch()
    refused(
        lambda: Folder(path, INDEX, "from_transformers").check_weights(path),
        "from_transformers: expected nothing but safetensors",
        f"{index}.json",
        repr(name),
        "safe_serialization=True",
    )


@pytest.mark.parametrize("name", ["adapter_model.bin", "in/model.safetensors.index.json"])
def test_weights_of_a_configuration_are_safetensors_of_the_folder(tmp_path: Path, name: str, refused: Any) -> None:
    path = folder(tmp_path / "x", config={"transformers_weights": name})
    (path / "w.safetensors").touch()
    refused(lambda: Folder(path, INDEX, "test").check_weights(path), "nothing but safetensors", INDEX, name)


def test_shards_of_the_folder_are_taken(tmp_path: Path) -> None:
    weights = {"model.safetensors.index": {"weight_map": {"a": "w.safetensors"}}}
    path = folder(tmp_path / "x", config={"transformers_weights": "model.safetensors.index.json"}, **weights)
    (path / "w.safetensors").touch()
    Folder(path, INDEX, "test").check_weights(path)


@pytest.mark.parametrize(
    "config",
    [
        {"auto_map": {"AutoModelForCausalLM": "modeling.Model"}},
        {"text_config": {"auto_map": {"AutoConfig": "configuration.Config"}}},
        {"layers": [1, {"auto_map": {"AutoConfig": "configuration.Config"}}]},
        {"trust_remote_code": True},
        {"custom_pipelines": {"x": {}}},
    ],
)
@pytest.mark.parametrize("where", ["config", "tokenizer_config"])
def test_folders_that_name_code_are_refused(tmp_path: Path, config: Any, where: str, refused: Any) -> None:
    path = folder(tmp_path / "x", **{"config": {}, where: config})
    refused(lambda: Folder(path, INDEX, "test"), "without code", f"{where}.json", "from_module()")


@pytest.mark.parametrize("text", ["[]", '"x"', "3", "null", "[" * 100_000, '{"a":' * 100_000, "\xff"])
@pytest.mark.parametrize(
    "name", [INDEX, "tokenizer_config.json", "unet/config.json", "scheduler/scheduler_config.json"]
)
def test_configurations_that_are_none(tmp_path: Path, text: str, name: str, refused: Any) -> None:
    path = folder(tmp_path / "x", config={})
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).write_text(text, encoding="latin-1")
    refused(lambda: Folder(path, INDEX, "test"), "test: ", Path(name).name, "copy it again")


def test_other_files_may_be_lists(tmp_path: Path, refused: Any) -> None:
    path = folder(tmp_path / "x", config={}, modules=[{"idx": 0}])
    assert Folder(path, INDEX, "test").index == {}
    (path / "modules.json").write_text('[[{"auto_map": {"AutoModel": "x.Y"}}]]')
    refused(lambda: Folder(path, INDEX, "test"), "without code", "auto_map", "modules.json")


def test_code_is_found_at_any_depth(tmp_path: Path, refused: Any) -> None:
    path = folder(tmp_path / "x", config={})
    (path / INDEX).write_text('{"a":[' * 400 + '{"auto_map": "x"}' + "]}" * 400)
    refused(lambda: Folder(path, INDEX, "test"), "without code", "auto_map")


def test_components_that_name_code_are_refused(tmp_path: Path, refused: Any) -> None:
    path = folder(tmp_path / "x", config={})
    folder(path / "unet", config={"auto_map": {"AutoModel": "x.Y"}})
    refused(lambda: Folder(path, INDEX, "test"), "auto_map", "unet", "from_module()")


def test_what_is_missing(tmp_path: Path, refused: Any) -> None:
    path = folder(tmp_path / "x", other={})
    refused(lambda: Folder("gpt2", INDEX, "test"), "on this machine", "gpt2", "hf download", error=FileNotFoundError)
    refused(lambda: Folder(path, INDEX, "test"), "config.json", "other.json", "save_pretrained")
    opened = Folder(path, "other.json", "test")
    refused(lambda: opened.part("unet"), "a folder unet", "found none")
    refused(lambda: opened.check_weights(path), "found no safetensors")
    (path / INDEX).write_text("{")
    refused(lambda: Folder(path, INDEX, "test"), "config.json is not JSON", "copy it again")


def test_variants(tmp_path: Path) -> None:
    assert variant(folder(tmp_path / "none")) is None
    (tmp_path / "none" / "model.fp16.safetensors").touch()
    assert variant(tmp_path / "none") == "fp16"
    (tmp_path / "none" / "model-00001-of-00002.safetensors").touch()
    assert variant(tmp_path / "none") is None
