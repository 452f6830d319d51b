"""onthefly demo: does a generator help?"""

from pathlib import Path
from typing import Literal


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
