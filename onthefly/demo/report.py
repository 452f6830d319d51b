"""What the demo says at the end: a table, a verdict whichever way it went, a picture, and the lines to type next."""

from pathlib import Path

import numpy as np

from onthefly.demo.story import ARMS, RATIO, Outcome
from onthefly.extras import require

_HEADROOM = 0.18  # over a share of 1, for the legend


def table(outcome: Outcome) -> str:
    """Per class: real images, what the mix delivered, and the recall of every arm, averaged over the seeds."""
    stats, means = outcome.stats, {arm: rows.mean(axis=0) for arm, rows in outcome.recalls.items()}
    lines = [f"{'':<11}{'own':>6}   delivered by the mix   recall on test images", f"{'class':<11}{'images':>6}"]
    lines[1] += f"{'real':>10}{'synthetic':>11}" + "".join(f"{arm:>13}" for arm in ARMS)
    for number, own in enumerate(outcome.own):
        line = f"{stats.classes.name(number):<11.11}{own:>6}{stats.real[number]:>10}{stats.synthetic[number]:>11}"
        lines.append(line + "".join(f"{means[arm][number]:>13.3f}" for arm in ARMS))
    total = f"{'mean':<11}{outcome.own.sum():>6}{stats.real.sum():>10}{stats.synthetic.sum():>11}"
    lines.append(total + "".join(f"{means[arm].mean():>13.3f}" for arm in ARMS))
    lines.append(f"{'worst class':<38}" + "".join(f"{means[arm].min():>13.3f}" for arm in ARMS))
    return "\n".join(lines)


def verdict(outcome: Outcome) -> str:
    """Whether the mix helped: by how much, with how many of the seeds, and how much of the gap to the upper bound it
    closed."""
    accuracy = {arm: rows.mean(axis=1) for arm, rows in outcome.recalls.items()}
    gain = accuracy["mix"] - accuracy["baseline"]
    gap = (accuracy["upper bound"] - accuracy["baseline"]).mean()
    sizes = f"on average ({gain.min():+.3f} to {gain.max():+.3f})"
    better = f"better with {(gain > 0).sum()} of {len(gain)} seeds, by {gain.mean():+.3f} {sizes}"
    worse = f"worse with {(gain < 0).sum()} of {len(gain)} seeds, by {gain.mean():+.3f} {sizes}"
    if (gain > 0).all():
        closed = f" It closes {gain.mean() / gap:.0%} of the gap to training on the owner's images themselves."
        return f"The mix wins: its balanced accuracy is {better}.{closed if gap > 0 else ''}"
    if (gain <= 0).all():
        return (
            f"The mix loses: its balanced accuracy is {worse}. Oversampling and augmentation do better here; a "
            "generator trained for longer, or a smaller ratio, may change that."
        )
    return f"No clear difference: the balanced accuracy of the mix is {better}. More seeds may tell."


def draw_ratio(outcome: Outcome, path: Path) -> Path:
    """Plot the planned against the delivered ratio of each class, and the recall of every arm, to a PNG file."""
    figure_module = require("matplotlib.figure", extra="report")
    figure = figure_module.Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    stats, classes = outcome.stats, np.arange(len(outcome.own))
    names = [stats.classes.name(int(number)) for number in classes]
    delivered = stats.synthetic / np.maximum(stats.synthetic + stats.real, 1)
    left.bar(classes, delivered, color="tab:orange", label="delivered")
    left.plot(classes, outcome.planned, "k_", markersize=22, markeredgewidth=2, label="planned")
    left.set(title="synthetic share of each class", ylabel="ratio")
    for offset, arm, colour in zip((-0.27, 0, 0.27), ARMS, ("tab:gray", "tab:orange", "tab:green"), strict=True):
        right.bar(classes + offset, outcome.recalls[arm].mean(axis=0), width=0.27, color=colour, label=arm)
    lowest = min(rows.mean(axis=0).min() for rows in outcome.recalls.values())
    right.set(title="recall on test images")
    for axes, low in ((left, 0.0), (right, max(0.0, lowest - 0.1))):
        axes.set_ylim(low, 1 + _HEADROOM * (1 - low))
        axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= 1])
        axes.set_xticks(classes, names, rotation=0 if max(map(len, names)) < 3 else 45)
        axes.legend(loc="upper center", ncols=3)
    figure.savefig(path, dpi=120)
    return path


def next_steps(outcome: Outcome, plot: Path) -> str:
    """Where the pictures are, and how to do the same with a loader of one's own."""
    return (
        f"Pictures: {outcome.sheet} (real beside synthetic), {plot} (planned against delivered).\n"
        "The same with your own loader:\n\n"
        "    import onthefly\n"
        "    from onthefly.schedule import Fill\n"
        f'    loader = onthefly.wrap(loader, "{outcome.checkpoint}", balance="uniform", ratio={RATIO})\n\n'
        "and a generator of your own images: onthefly train FOLDER --out generator.safetensors"
    )
