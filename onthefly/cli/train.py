"""onthefly train: a generator from what one has."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

Family = Literal["diffusion", "flow", "gan", "language", "vae"]


def train(
    source: tyro.conf.Positional[str | None] = None,
    *,
    out: Path,
    family: Family | None = None,
    steps: int | None = None,
    batch_size: int = 64,
    balance: str | None = None,
    config: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE...")] = (),
    conditions: tuple[str, ...] = (),
    coding: str | None = None,
    augment: bool = False,
    held_out: float | None = None,
    init: Path | None = None,
    distill: Path | None = None,
    dp_epsilon: float | None = None,
    dp_delta: float | None = None,
    licence: str | None = None,
    seed: int = 0,
    device: str | None = None,
    workers: int = 2,
    data: Path | None = None,
    size: int | None = None,
    grey: bool = False,
    pattern: str | None = None,
    rate: int | None = None,
    seconds: float | None = None,
    label: str | None = None,
    text: str | None = None,
    categorical: tuple[str, ...] = (),
    header: bool | None = None,
) -> None:
    """Train a generator on pictures, sounds, a table or texts, for each of their classes.

    Interrupt it (Ctrl-C) and what it has learnt is saved; type the same again and it goes on. While it trains, a
    picture beside the checkpoint shows how far it is.

    Args:
        source: a folder of pictures, FOLDER/<class>/<any name>.jpg or .png; of sounds, .wav; a .csv table; a .tsv file
            of texts; or a data set of torchvision's by name, as MNIST, in --data.
        out: the checkpoint to write; ends in .safetensors.
        family: diffusion is best, and slower to make samples; gan is quick to make them; vae is quicker to train, and
            best with the fewest samples; flow is for tables; language for texts. By default what suits the source.
        steps: batches to train on; by default what suits a small set.
        batch_size: samples in a batch.
        balance: how often classes are shown: uniform for equally, as by default, natural for as they occur, power:0.5
            or effective:0.999 in between.
        config: the family's sizes: --config width=64 latent=32, dropout=0.2, encoder=false
        conditions: what samples have beside their class, to be asked for later: a field of --pattern, or a column of
            the table: --conditions speaker
        coding: what samples become for the network, by name; by default what is usual for them, log_mel for sounds.
        augment: turn, scale, move and mirror pictures at random; what is made is not.
        held_out: the share of each class that is held out to see when training helps no more; by default a tenth.
        init: a checkpoint to go on from, for new classes with 5 to 50 samples each.
        distill: a diffusion model's checkpoint, of which to make a student that takes a step or two; no source is
            needed.
        dp_epsilon: learn with differential privacy: how much the generator may tell of any one sample, such as 8.
        dp_delta: the probability with which that may fail, such as 1e-5.
        licence: of what it was trained on, for its card.
        seed: equal seeds give equal generators on one machine.
        device: cpu, cuda, cuda:1, ...; by default cuda if there is one.
        workers: processes that read samples.
        data: the folder of torchvision's data sets.
        size: side of the pictures; they are resized and cropped to it. By default 64, or that of the data set.
        grey: make grey pictures instead of coloured ones.
        pattern: where the class is in the names of files: --pattern {label}_{speaker}_{take}.wav
        rate: of sounds, in Hz; others are resampled. By default that of most.
        seconds: of each sound.
        label: the column of a table or of texts that holds the class; by default the last one of a table, the first one
            of texts.
        text: the column of the text.
        categorical: columns of a table whose numbers stand for categories.
        header: whether the first line of a file is a heading; by default that is seen from it.
    """
    from onthefly import generators
    from onthefly.generators.checkpoint import check_path
    from onthefly.mixing.spelled import spelled_balance
    from onthefly.reading import Clips, check_classes, read

    check_path(out)
    state, about = out.with_suffix(".state"), {"licence": licence}
    if distill is not None:
        _check_alone(source, distill)
        made = generators.distill(
            distill, **_given(steps=steps), batch_size=batch_size, about=about, seed=seed, device=device, resume=state
        )
        print(f"wrote {generators.save(made, out)}; load it with steps=1 or steps=2")
        return
    if source is None:
        raise ValueError(
            "train: expected something to learn from, found nothing; write onthefly train FOLDER --out FILE"
        )
    found = read(
        source,
        data=data,
        size=size,
        grey=grey or None,
        pattern=pattern,
        rate=rate,
        seconds=seconds,
        label=label,
        text=text,
        categorical=categorical or None,
        attributes=(conditions or None) if Path(source).is_file() else None,
        header=header,
    )
    print(found)
    check_classes(found)
    picture = out.with_suffix(".txt" if isinstance(found[0][0], str) else ".png")
    usual = "log_mel" if isinstance(found, Clips) and init is None else None
    made = generators.train(
        family or _family(found[0][0], init),
        found,
        config=_config(config) or None,
        steps=steps,
        batch_size=batch_size,
        balance=None if balance is None else spelled_balance(balance),
        conditions=_conditions(found.attributes, conditions),
        coding=coding or usual,
        augment=augment,
        held_out=held_out,
        init=init,
        privacy=_privacy(dp_epsilon, dp_delta),
        about={"data": Path(source).name, **about},
        seed=seed,
        device=device,
        num_workers=workers,
        preview=picture,
        resume=state,
    )
    print(
        f"wrote {generators.save(made, out)} and {picture}; mix it into a loader with: onthefly.wrap(loader, "
        f"{str(out)!r})"
    )


def _family(sample: Any, init: Path | None) -> Family:
    """The family of the checkpoint to go on from; else what suits such samples."""
    from onthefly.generators import read_card

    known: Family = usual_family(sample) if init is None else read_card(init)["family"]
    return known


def _check_alone(source: str | None, distill: Path) -> None:
    if source is not None:
        raise ValueError(
            f"distill: expected no source, since a student learns from {distill} alone, found {source}; leave it out"
        )


def _privacy(epsilon: float | None, delta: float | None) -> Any:
    from onthefly.generators import Privacy

    if epsilon is None and delta is None:
        return None
    if epsilon is None or delta is None:
        raise ValueError(
            f"privacy: expected --dp-epsilon and --dp-delta, found {epsilon} and {delta}; write --dp-epsilon 8 "
            "--dp-delta 1e-5"
        )
    return Privacy(epsilon, delta)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def usual_family(sample: Any) -> Family:
    """The family for such samples where none is asked for.

    >>> usual_family("a text")
    'language'
    """
    if isinstance(sample, str):
        return "language"
    return "flow" if sample.ndim == 1 else "diffusion"


def _config(words: Sequence[str]) -> dict[str, Any]:
    """``name=value``, each; numbers as numbers, true and false as such."""
    pairs = [word.partition("=") for word in words]
    wrong = next((word for word, (name, sign, value) in zip(words, pairs, strict=True) if not (name and value)), None)
    if wrong is not None:
        raise ValueError(f"config: expected NAME=VALUE, found {wrong!r}; write --config width=64")
    return {name: _read(value) for name, _, value in pairs}


def _read(word: str) -> bool | int | float | str:
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def _conditions(known: dict[str, list[Any]], asked: Sequence[str]) -> dict[str, list[Any]]:
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise ValueError(
            f"conditions: expected what is known of the samples ({', '.join(known) or 'nothing beside their class'}), "
            f"found {', '.join(unknown)}; name them in --pattern, or by a column"
        )
    return {name: known[name] for name in asked}
