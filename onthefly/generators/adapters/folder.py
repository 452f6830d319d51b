"""Folders of other people's weights: on this machine, in safetensors, and naming no code to run."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".pt2"}
_CODE = ("auto_map", "custom_pipelines", "trust_remote_code")  # keys under which configurations name code
_OPENED = (".safetensors", ".safetensors.index.json")


class Folder:
    """A folder that ``save_pretrained`` wrote, looked at before anything of it is loaded.

    Args:
        path: on this machine.
        index: the file in it that says what it is.
        where: who asks, for messages.

    Attributes:
        index: what that file says.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it isn't such a folder, or names code of its own.
    """

    def __init__(self, path: str | Path, index: str, where: str) -> None:
        self.path, self.where = Path(path), where
        if not self.path.is_dir():
            raise FileNotFoundError(
                f"{where}: expected a folder on this machine, found none at {path}; download one first, with: hf "
                f"download NAME --local-dir FOLDER, or write one with save_pretrained({str(path)!r})"
            )
        if not (self.path / index).is_file():
            files = sorted(file.name for file in self.path.iterdir())[:5]
            raise ValueError(
                f"{where}: expected a folder with {index}, as save_pretrained writes it, found "
                f"{', '.join(files) or 'nothing'} in {path}; give the folder that holds {index}"
            )
        self.index = self._table(self.path / index)
        self._refuse_code()

    def part(self, name: str, weights: bool = True) -> Path:
        """The folder of a component, whose weights are safetensors if it has any."""
        part = self.path / name
        if not part.is_dir():
            raise ValueError(f"{self.where}: expected a folder {name} in {self.path}, found none; copy it there too")
        if weights:
            self.check_weights(part)
        return part

    def check_weights(self, part: Path) -> None:
        """Refuse weights that are pickles only, or nowhere, and files that name weights of another kind or place."""
        self._check_named(part)
        if any(part.glob("*.safetensors")):
            return
        pickles = sorted(file.name for file in part.iterdir() if file.suffix in _PICKLES)
        if pickles:
            raise ValueError(
                f"{self.where}: expected safetensors in {part}, found {', '.join(pickles[:3])}, which can run code "
                "when it is opened; load it where you trust it, and write it again with save_pretrained(folder, "
                "safe_serialization=True)"
            )
        raise ValueError(
            f"{self.where}: expected weights in {part}, found no safetensors; write it again with "
            "save_pretrained(folder, safe_serialization=True)"
        )

    def _check_named(self, part: Path) -> None:
        """A library opens what an index or a configuration names, pickles and files elsewhere too."""
        for file in sorted({*part.glob("*.safetensors*.json"), *part.glob("*config*.json")}):
            for name in _files(self._table(file)):
                if not isinstance(name, str) or Path(name).name != name or not name.endswith(_OPENED):
                    raise ValueError(
                        f"{self.where}: expected nothing but safetensors in {part} to be named by {file.name}, found "
                        f"{name!r}; load it where you trust it, and write it again with save_pretrained(folder, "
                        "safe_serialization=True)"
                    )

    def _refuse_code(self) -> None:
        for file in sorted([*self.path.glob("*.json"), *self.path.glob("*/*config.json")]):
            named = sorted(_named(self._table(file) if file.name.endswith("config.json") else self._read(file)))
            if named:
                raise ValueError(
                    f"{self.where}: expected a folder without code, found {', '.join(named)} in {file}, which asks for "
                    "code to be run that came with the weights; load it yourself where you trust it, and give the "
                    "network to from_module(), or write a FrozenGenerator around it"
                )

    def _table(self, file: Path) -> dict[str, Any]:
        read = self._read(file)
        if not isinstance(read, dict):
            raise ValueError(
                f"{self.where}: expected names and values in {file}, as save_pretrained writes them, found a "
                f"{type(read).__name__}; copy it again"
            )
        return read

    def _read(self, file: Path) -> Any:
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, OSError, RecursionError) as error:
            raise ValueError(f"{self.where}: {file} is not JSON ({error}); copy it again") from error


def variant(part: Path) -> str | None:
    """What stands before ``.safetensors`` where weights are there in one other kind of numbers only, such as "fp16"."""
    kinds = {_kind(file) for file in part.glob("*.safetensors")}
    return None if None in kinds else min((kind for kind in kinds if kind is not None), default=None)


def _kind(file: Path) -> str | None:
    name, _, kind = file.name.removesuffix(".safetensors").partition(".")
    return kind.partition("-")[0] or None if name else None


def _files(config: Any) -> Iterator[Any]:
    """What an index or a configuration names to be opened instead of the usual weights."""
    shards = config.get("weight_map", {})
    yield from shards.values() if isinstance(shards, Mapping) else [shards]
    if config.get("transformers_weights") is not None:
        yield config["transformers_weights"]


def _named(config: Any) -> set[str]:
    """Keys under which a configuration names code, at any depth."""
    found, left = set(), [config]
    while left:  # not by recursion, which a deep one would exhaust
        inside = left.pop()
        if isinstance(inside, Mapping):
            found |= {key for key in _CODE if inside.get(key)}
            left += inside.values()
        elif isinstance(inside, list):
            left += inside
    return found
