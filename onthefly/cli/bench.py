"""onthefly bench: how fast is a mix?"""

from pathlib import Path
from typing import Literal

import tyro


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
