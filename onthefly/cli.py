"""The command line: parse, call, print."""

import sys
from pathlib import Path
from typing import Literal

import tyro

_ABOUT = "Mixes fresh samples from frozen generators into every batch of a PyTorch DataLoader."


def demo(
    dataset: Literal["digits", "mnist", "cifar10"] = "digits",
    scenario: Literal["owner", "self"] = "owner",
    data: Path | None = None,
    family: Literal["gan", "vae"] | None = None,
    out: Path = Path("onthefly-demo"),
    seeds: tuple[int, ...] = (0, 1, 2),
) -> None:
    """Does a generator help a classifier that has few, unbalanced images? See for yourself.

    Args:
        dataset: digits ships with scikit-learn; the others are read from --data.
        scenario: owner: the generator is trained on somebody else's images, and only its checkpoint travels. self: it
            is trained on the classifier's own few images, where a mix often loses to augmentation.
        data: the folder that holds mnist or cifar10; by default what the environment variable ONTHEFLY_DATA names.
        family: of the generator; by default what suits the data set.
        out: the folder for the checkpoint and the pictures.
        seeds: of the classifiers.
    """
    from onthefly.demo.report import draw_ratio, next_steps, table, verdict
    from onthefly.demo.story import tell
    from onthefly.extras import require

    require("matplotlib", extra="report")
    outcome = tell(dataset, scenario, family, data, out, seeds)
    print(table(outcome), verdict(outcome), sep="\n\n")
    print("", next_steps(outcome, draw_ratio(outcome, out / f"{dataset}-{scenario}-ratio.png")), sep="\n")


def train(
    folder: tyro.conf.Positional[Path],
    out: Path,
    family: Literal["gan", "vae"] = "gan",
    size: int = 64,
    grey: bool = False,
    steps: int | None = None,
    batch_size: int = 64,
    balance: Literal["natural", "uniform"] = "natural",
    seed: int = 0,
    workers: int = 2,
) -> None:
    """Train a generator on a folder of pictures, one subfolder a class.

    Interrupt it (Ctrl-C) and what it has learnt is saved. While it trains, a contact sheet beside the checkpoint shows
    how far it is.

    Args:
        folder: FOLDER/<class>/<any name>.jpg or .png.
        out: the checkpoint to write; ends in .safetensors.
        family: gan is sharper, vae is quicker and better with the fewest pictures.
        size: side of the pictures it makes; those of the folder are resized and cropped to it.
        grey: make grey pictures instead of coloured ones.
        steps: batches to train on; by default what suits a small set of pictures.
        batch_size: pictures in a batch.
        balance: whether classes are shown as often as they occur, or equally often.
        seed: equal seeds give equal generators on one machine.
        workers: processes that read pictures.
    """
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    from onthefly import generators
    from onthefly.generators.checkpoint import check_path

    colour = [transforms.Grayscale()] if grey else []
    transform = transforms.Compose(
        [*colour, transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor()]
    )
    sheet = out.with_suffix(".png")
    check_path(out)
    made = generators.train(
        family,
        ImageFolder(folder, transform),
        steps=steps,
        batch_size=batch_size,
        balance=balance,
        seed=seed,
        num_workers=workers,
        preview=sheet,
    )
    print(
        f"wrote {generators.save(made, out)} and {sheet}; mix it into a loader with: onthefly.wrap(loader, "
        f"{str(out)!r})"
    )


def explain(
    folder: tyro.conf.Positional[Path | None] = None,
    counts: tuple[int, ...] = (),
    labels: Path | None = None,
    batch_size: int = 64,
    balance: str = "uniform",
    ratio: str = "fill",
    epochs: int | None = None,
    generator: Path | None = None,
    reuse: int = 1,
    seed: int = 0,
    world_size: int = 1,
    plot: Path | None = None,
) -> None:
    """What would a mix deliver? Tells it class by class and epoch by epoch, without loading or making anything.

    Say what real samples there are in one of three ways: FOLDER, --counts or --labels.

    Args:
        folder: FOLDER/<class>/<any name>.jpg or .png; only the names are read.
        counts: samples of each class: --counts 500 50 5
        labels: a file with the label of each sample: .npy, or text with one on each line.
        batch_size: of one process.
        balance: natural, uniform, power:0.5 or effective:0.999.
        ratio: synthetic share of each class: 0.3, fill (what real samples can't supply, at most half), fill:0.8,
            linear:0:0.5, or cosine:1:0 (which may end early: cosine:1:0:0.8).
        epochs: the length of training; one is explained without it.
        generator: a checkpoint; its card tells which classes it can make. Without it, all.
        reuse: how often each synthetic sample is used.
        seed: as for wrap.
        world_size: processes that train together.
        plot: a PNG file to draw it to.
    """
    from onthefly.mixing.spelled import spelled_balance, spelled_ratio
    from onthefly.preview import labels_from, preview

    found = preview(
        labels_from(folder, counts, labels),
        batch_size=batch_size,
        balance=spelled_balance(balance),
        ratio=spelled_ratio(ratio),
        epochs=epochs,
        generator=generator,
        reuse=reuse,
        seed=seed,
        world_size=world_size,
    )
    print(found)
    if plot is not None:
        print(f"wrote {found.plot(plot)}")


def bench(
    folder: tyro.conf.Positional[Path],
    generator: Path | None = None,
    family: Literal["gan", "vae"] | None = None,
    ratio: str = "0.25",
    balance: str = "uniform",
    batch_size: int = 64,
    workers: int = 2,
    size: int | None = None,
    augment: bool = True,
    share: float = 0.25,
    seconds: float = 1.0,
    rounds: int = 3,
    contenders: tuple[str, ...] = (),
    out: Path = Path("onthefly-bench"),
) -> None:
    """How fast is a mix of these pictures? Measures it beside the plain loader and what else one could do.

    Without a generator it measures reading and augmentation alone. Speed doesn't depend on training, so --family gan
    shows what a generator would cost before you train one.

    Args:
        folder: FOLDER/<class>/<any name>.jpg or .png.
        generator: a checkpoint, as onthefly train writes it.
        family: instead of a checkpoint, a generator of this kind that nobody trained: for speed only.
        ratio: synthetic share of each class: 0.25, fill, or fill:0.8.
        balance: natural, uniform, power:0.5 or effective:0.999.
        batch_size: pictures in a batch.
        workers: processes that read pictures.
        size: side of the pictures; by default that of the generator's, or 32.
        augment: augment on the device, with the image preset.
        share: synthetic share of the alternatives, and of the mix that they are compared with.
        seconds: of one round of one contender.
        rounds: how many.
        contenders: those to measure, by name; by default all.
        out: the folder for bench.json and bench.png.
    """
    from onthefly import evidence
    from onthefly.evidence.folder import folder_loader
    from onthefly.extras import require
    from onthefly.mixing.spelled import spelled_balance, spelled_ratio

    require("matplotlib", extra="report")
    loader = folder_loader(
        folder,
        generator=generator,
        family=family,
        ratio=spelled_ratio(ratio),
        balance=spelled_balance(balance),
        batch_size=batch_size,
        workers=workers,
        size=size,
        augmented=augment,
    )
    out.mkdir(parents=True, exist_ok=True)
    found = evidence.bench(loader, seconds=seconds, rounds=rounds, share=share, contenders=contenders or None)
    print(found)
    print(f"\nwrote {found.to_json(out / 'bench.json')} and {found.plot(out / 'bench.png')}")
    if family is not None:
        print(f"The {family} is untrained: these are its figures for speed; its pictures are noise.")
    elif generator is None:
        print("What would a generator add? Type --family gan for an untrained one, or --generator FILE.")


def main() -> None:
    """Run the command line; what the user can mend is told in one line."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            {"demo": demo, "train": train, "explain": explain, "bench": bench}, prog="onthefly", description=_ABOUT
        )
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"onthefly: {_told(error)}")


def _told(error: Exception) -> str:
    """What went wrong, without the traceback that a DataLoader's worker adds."""
    lines = str(error).strip().splitlines()
    return lines[-1] if any("Original Traceback" in line for line in lines) else str(error)
