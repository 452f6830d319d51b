"""onthefly explain: what would a mix deliver?"""

from pathlib import Path

import tyro


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
