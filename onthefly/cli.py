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


def main() -> None:
    """Run the command line; what the user can mend is told in one line."""
    try:
        tyro.extras.subcommand_cli_from_dict({"demo": demo, "train": train}, prog="onthefly", description=_ABOUT)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"onthefly: {_told(error)}")


def _told(error: Exception) -> str:
    """What went wrong, without the traceback that a DataLoader's worker adds."""
    lines = str(error).strip().splitlines()
    return lines[-1] if any("Original Traceback" in line for line in lines) else str(error)
