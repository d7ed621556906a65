"""charkit's goals for speed and memory, and the recorded figures beside them: the last table of docs/performance.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.results import Measured, Result, number, ratio_of
from benchmarks.time_to_loss import NANOGPT_LOSS, NANOGPT_SECONDS, RECIPE

#: Reads a recorded result by its name.
Load = Callable[[str], Result]
#: Computes a figure from a recorded result.
Read = Callable[[Result], float]
NAMES = {"numpy": "NumPy", "torch": "PyTorch", "tensorflow": "TensorFlow", "jax": "JAX"}
#: The forward pass takes a third of the arithmetic of a training step.
_FORWARD_SHARE = 3


@dataclass(frozen=True)
class Goal:
    """A bound for one or more figures, by what they are called in the table; ``{}`` in ``text`` is the bound."""

    what: str
    model: str
    text: str
    bound: float
    result: str
    figures: dict[str, Read]
    at_most: bool = False
    percent: bool = False

    def met(self, value: float) -> bool:
        """Whether the figure, rounded as it is shown, is within the bound."""
        shown = round(value, 2) if self.percent else float(number(value).replace(",", ""))
        return shown <= self.bound if self.at_most else shown >= self.bound

    def shown(self, value: float) -> str:
        """A figure or the bound, as text."""
        return f"{value:.0%}" if self.percent else number(value)


def _found(result: Result, name: str) -> Measured:
    one = result.participant(name)
    if one is None:
        raise ValueError(f"the result {result.name!r} has no participant {name!r}")
    return one


def _median(name: str) -> Read:
    return lambda result: _found(result, name).median


def _ratio(name: str, divisor: float = 1.0) -> Read:
    """The median of the rounds' ratios to the participant's peer."""

    def read(result: Result) -> float:
        one = _found(result, name)
        return ratio_of(one, _found(result, one.peer)).median / divisor

    return read


def _ratio_of_medians(name: str, other: str) -> Read:
    """Of two participants that did not take turns."""
    return lambda result: _found(result, name).median / _found(result, other).median


def _share(name: str) -> Read:
    """Of the machine's limit in float32."""
    return lambda result: _found(result, name).median / result.limit["float32"]


def _fastest_ratio(name: str, peers: tuple[str, ...]) -> Read:
    """To the fastest of several participants."""

    def read(result: Result) -> float:
        fastest = max((_found(result, peer) for peer in peers), key=lambda one: one.median)
        return ratio_of(_found(result, name), fastest).median

    return read


def _each(read: Callable[[str], Read], backends: tuple[str, ...] = tuple(NAMES)) -> dict[str, Read]:
    return {NAMES[name]: read(name) for name in backends}


_FLOAT32_PEERS = ("plain torch", "keras tensorflow", "keras jax")
_NUMPY = {"NumPy": _ratio("charkit numpy"), "with Numba": _ratio("charkit numpy numba")}
_NUMPY_SHARE = {"NumPy": _share("charkit numpy"), "with Numba": _share("charkit numpy numba")}
_OTHERS = ("torch", "tensorflow", "jax")


def _training() -> Iterator[Goal]:
    bounds = {"2x128": (1.3, 0.6, 2.0), "2x512": (1.1, 0.85, 1.6)}
    for size, (numpy, share, bfloat16) in bounds.items():
        result, plain = f"training-{size}", "{} times a plain PyTorch loop"
        yield Goal("Training", size, plain, numpy, result, _NUMPY)
        yield Goal("Training", size, "{} of the machine's limit", share, result, _NUMPY_SHARE, percent=True)
        yield Goal("Training", size, plain, 1.15, result, {"PyTorch": _ratio("charkit torch")})
        keras = {"TensorFlow": 1.4, "JAX": 1.5}
        for name, bound in keras.items():
            read = {name: _ratio(f"charkit {name.lower()}")}
            yield Goal("Training", size, f"{{}} times Keras on {name}", bound, result, read)
        what, name = "Training in bfloat16", "charkit torch bfloat16"
        fastest = {"PyTorch": _fastest_ratio(name, _FLOAT32_PEERS)}
        yield Goal(what, size, "{} times the fastest peer in float32", bfloat16, result, fastest)
        text = "as fast as a plain PyTorch loop under autocast"
        yield Goal(what, size, text, 1.0, result, {"PyTorch": _ratio(name)})


def _sampling() -> Iterator[Goal]:
    for size, bound in {"2x128": 10.0, "2x512": 30.0}.items():
        one = {"NumPy": _ratio("charkit numpy")}
        yield Goal(
            "Sampling one stream", size, "{} times PyTorch's step loop", bound, f"sampling-{size}", one
        )
    others = _each(lambda name: _ratio(f"charkit {name}"), _OTHERS)
    result = "sampling-2x128"
    yield Goal("Sampling one stream", "2x128", "as fast as the framework's step loop", 1.0, result, others)
    many = _each(lambda name: _ratio(f"charkit {name}, 64 streams"))
    yield Goal("Sampling 64 streams", "2x128", "{} times one stream", 8.0, result, many)


def _steadiness() -> Iterator[Goal]:
    forward = _each(lambda name: _ratio(f"evaluation {name}", divisor=_FORWARD_SHARE))
    text = "as fast as the forward part of training"
    yield Goal("Evaluation", "2x128", text, 1.0, "evaluation-2x128", forward)
    for kind in ("training", "evaluation"):
        busy = _each(lambda name, kind=kind: _ratio(f"{kind} {name}, busy"))
        text = "{} of the speed on an idle machine"
        yield Goal(f"{kind.title()}, one core busy", "2x128", text, 0.4, "busy", busy, percent=True)
    two = {"NumPy": _ratio_of_medians("evaluation numpy, busy", "evaluation numpy, 1 thread, busy")}
    yield Goal(
        "Evaluation, one core busy",
        "2x128",
        "{} of the speed of one thread there",
        0.5,
        "busy",
        two,
        percent=True,
    )


def _others() -> Iterator[Goal]:
    shares = _each(_median)
    text = "at most {}% of a step"
    yield Goal("charkit's own work", "2x128", text, 3.0, "overhead-2x128", shares, at_most=True)
    pauses = _each(_median)
    yield Goal("Pause for a checkpoint", "2x128", "at most {} ms", 20.0, "pauses-2x128", pauses, at_most=True)
    first, text = {"NumPy": _median("first character, numpy")}, "at most {} s"
    yield Goal("First sampled character", "2x128", text, 0.5, "startup", first, at_most=True)
    help_text = {"charkit": _median("toolkit --help")}
    yield Goal("`toolkit --help`", "-", text, 0.15, "startup", help_text, at_most=True)
    for names, bound in {("numpy", "torch"): 6.0, ("tensorflow", "jax"): 45.0}.items():
        seconds = _each(_median, names)
        yield Goal("`toolkit verify`", "-", text, bound, "verify-time", seconds, at_most=True)
    for name, bound in {"char": 150.0, "byte": 1000.0}.items():
        speed = {name: _median(name)}
        yield Goal("Reading and encoding 1 GB", "-", "{} MB/s", bound, "encoding", speed)
    peaks = {f"{size} GB": _median(f"train, text, {size},000 MB") for size in (1, 10)}
    text = "at most {} MiB in all"
    yield Goal("Training on a large text", "1x16", text, 200.0, "text-memory", peaks, at_most=True)
    reached = {"NumPy": _median(f"charkit, {RECIPE}")}
    text, bound = "at most {} s: half of nanoGPT's time", NANOGPT_SECONDS / 2
    what, result = f"Time to nanoGPT's loss ({NANOGPT_LOSS:g})", f"time-to-loss-{RECIPE}-{NANOGPT_LOSS:g}"
    yield Goal(what, "2x192", text, bound, result, reached, at_most=True)


def goals() -> list[Goal]:
    """All goals, in the order of the table."""
    return [*_training(), *_sampling(), *_steadiness(), *_others()]


def goals_table(load: Load) -> str:
    """The goals as a Markdown table, with the recorded figures, and how many of the figures reach their goals."""
    rows = ["| what | model | goal | measured |", "|---|---|---|---|"]
    met = count = 0
    for goal in goals():
        result, cells = load(goal.result), []
        for name, read in goal.figures.items():
            value = read(result)
            reached = goal.met(value)
            met, count = met + reached, count + 1
            cells.append(f"{name} {goal.shown(value)}" + ("" if reached else " (**missed**)"))
        text = goal.text.format(goal.shown(goal.bound))
        rows.append(f"| {goal.what} | {goal.model} | {text} | {', '.join(cells)} |")
    return "\n".join(rows) + f"\n\n{met} of the {count} figures reach their goals."
