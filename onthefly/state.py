"""States: where training has come to, as plain values; and whether one fits."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from onthefly.data.position import Position
from onthefly.data.processes import disagreements
from onthefly.data.sampler import PlanSampler
from onthefly.data.stream import MixStream
from onthefly.mixing.changes import Change, Log, from_plain
from onthefly.mixing.plan import MixPlan
from onthefly.mixing.slots import Totals
from onthefly.mixing.stream import StreamPlan

State = dict[str, Any]

_HINT = "load what MixLoader.state_dict() gave"


def save_planned(sampler: PlanSampler) -> State:
    """The state of a planned mix, after the last batch handed out."""
    plan, (epoch, step) = sampler.plan, sampler.reached()
    totals = {name: torch.from_numpy(values.copy()) for name, values in plan.totals(epoch)._asdict().items()}
    over = int(step >= sampler.steps)
    return {"epoch": epoch, "step": step, "over": over, "totals": totals} | _logged(plan)


def load_planned(sampler: PlanSampler, state: State, *, longer: bool) -> None:
    """Go on from a state of the same mix."""
    plan = sampler.plan
    _check_form(state, {"totals", "over"})
    log = _checked_log(plan, state, longer=longer)
    plan.restore(log, state["epoch"], Totals(**{name: kept.cpu().numpy() for name, kept in state["totals"].items()}))
    over = state["over"] or state["step"] >= sampler.steps
    sampler.resume(*((state["epoch"] + 1, 0) if over else (state["epoch"], state["step"])))


def save_place(position: Position) -> State:
    """The state of batches that are delivered as they come."""
    epoch, step = position.reached()
    return {"epoch": epoch, "step": step, "log": [], "settings": {}}


def load_place(position: Position, state: State, *, is_end: Callable[[int], bool]) -> int:
    """Go back to the beginning of the epoch that a state was taken in, or to the next one if that was its end.

    Returns:
        How many batches of the epoch had been handed out, and will be again.
    """
    _check_form(state, set())
    _check_same({}, state["settings"])
    over = is_end(state["step"])
    position.resume(state["epoch"] + over, 0)
    return 0 if over else int(state["step"])


def save_stream(stream: MixStream, plan: StreamPlan) -> State:
    """The state of a streamed mix, after the last batch handed out, and of its source if that has one."""
    epoch, step = stream.position.reached()
    quotas = {name: torch.from_numpy(values.copy()) for name, values in plan.quotas().items()}
    over = stream.position.over and not stream.position.asked
    place = {"epoch": epoch, "step": step, "over": int(over), "shard": list(stream.source.place)}
    return place | {"quotas": quotas, "source": stream.source.state()} | _logged(plan)


def load_stream(stream: MixStream, plan: StreamPlan, state: State, *, longer: bool) -> None:
    """Go on from a state of the same mix: a source that can't be put there is gone through up to it."""
    _check_form(state, {"quotas", "source", "over", "shard"})
    _check_same({"shard": list(stream.source.place)}, {"shard": list(state["shard"])})
    log = _checked_log(plan, state, longer=longer)
    cut = state["step"] == stream.source.length  # the source was left in the midst of its own pass
    epoch, step = (state["epoch"] + 1, 0) if cut or state["over"] else (state["epoch"], state["step"])
    stream.source.resume(None if cut else state["source"], epoch, step)
    plan.restore(log, {name: kept.cpu().numpy() for name, kept in state["quotas"].items()})
    stream.position.resume(epoch, step)


def _logged(plan: MixPlan | StreamPlan) -> State:
    return {"log": [change.to_plain() for change in plan.log], "settings": plan.settings()}


def _check_form(state: Any, more: set[str]) -> None:
    """Refuse what isn't a state of this kind of mix at all."""
    missing = {"epoch", "step", "log", "settings", *more} - (state.keys() if isinstance(state, Mapping) else set())
    if missing:
        raise ValueError(f"state: expected {', '.join(sorted(missing))} too; {_HINT}")
    for name in ("totals", "quotas", "settings"):
        if not isinstance(state.get(name, {}), Mapping):
            raise ValueError(f"state: expected {name} by name, found {state[name]!r}; {_HINT}")
    for name in ("epoch", "step"):
        if not isinstance(state[name], int) or state[name] < 0:
            raise ValueError(f"state: expected {name} to be a whole number from 0, found {state[name]!r}; {_HINT}")


def _checked_log(plan: MixPlan | StreamPlan, state: State, *, longer: bool) -> Log:
    """The log to go on with: the state's, and that training is longer now if it is and that was said.

    Raises:
        ValueError: if the state is another mix's, naming what differs and both values.
    """
    settings, saved = plan.settings(), dict(state["settings"])
    log, before = from_plain(state["log"]), saved.get("epochs")
    if longer and isinstance(before, int) and plan.epochs is not None and before < plan.epochs:
        saved["epochs"] = plan.epochs
        first = () if any(change.epochs for change in log) else (Change(0, epochs=before),)
        log = (*log, *first, Change(state["epoch"] + (state["step"] > 0), epochs=plan.epochs))
    _check_same(settings, saved, _longer_hint(before, plan.epochs))
    return log


def _check_same(settings: Mapping[str, Any], saved: Mapping[str, Any], hint: str = "") -> None:
    lines = disagreements(settings, saved)
    if lines:
        raise ValueError(
            "state: it belongs to another mix; wrap the loader as when the state was saved"
            + (hint if len(lines) == 1 else "")
            + ":\n  "
            + "\n  ".join(lines)
        )


def _longer_hint(before: Any, epochs: int | None) -> str:
    if isinstance(before, int) and epochs is not None and before < epochs:
        return ", or train longer with load_state_dict(state, longer=True)"
    return ""
