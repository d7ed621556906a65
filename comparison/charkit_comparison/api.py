"""The Python interface of comparisons: one function that checks its arguments, runs, and returns the report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, get_args

from charkit.backend import available_threads
from charkit.capabilities import required
from charkit.config import (
    Precision,
    Settings,
    check_choice,
    duration_seconds,
    merge,
    settings_from_keywords,
)
from charkit.errors import ConfigurationError
from charkit.training.interrupts import StopWish, terminating_as_interrupting
from charkit_comparison.comparison import ProgressCallback, run_comparison
from charkit_comparison.own_layers.registry import available_own_layers
from charkit_comparison.plan import EXAMINED_AT_RANDOM, Plan, Variant
from charkit_comparison.report import ComparisonReport
from charkit_comparison.selection import select_variants
from charkit_comparison.starting_point import StartingPoint, from_run, from_text, is_run

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]


def compare(
    source: Paths | None = None,
    *,
    backends: Sequence[str] | None = None,
    max_steps: int = 300,
    rounds: int = 3,
    precisions: Sequence[str] = ("float32",),
    pythons: Mapping[str, str | PathLike[str]] | None = None,
    own_layers: bool = False,
    bound: float | None = None,
    examine: int = EXAMINED_AT_RANDOM,
    turn_limit: str = "10m",
    seed: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    progress: ProgressCallback | None = None,
    on_notice: Callable[[str], None] | None = None,
    stop_request: StopWish | None = None,
    command: str = "",
    **options: Any,
) -> ComparisonReport:
    """Trains the same model on several backends, judges whether they agree, and measures their speed and memory.

        report = charkit_comparison.compare("anna.txt", backends=["numpy", "torch"], lstm_size=64)
        print(report.verdict)
        write_report(report, Path("comparisons/anna-1"))

    Args:
        source: a text file, a folder or several, or one run, whose model is then trained on; by default Python's
            language reference.
        backends: names; by default every usable backend.
        max_steps: training steps of each variant.
        rounds: turns that the steps are divided into.
        precisions: each of float32, float64, bfloat16. bfloat16 decides nothing.
        pythons: interpreters of other environments by the name of their variant, which is a backend's name, a dash
            and a name: ``{"torch-old": "/envs/old/bin/python"}``.
        own_layers: whether each framework's own layers take part as well; they decide nothing.
        bound: the largest difference of two losses that is allowed, in nats, whatever causes it; by default none.
        examine: how many steps are drawn at random for the float64 reference to judge, besides those always judged.
        turn_limit: the most time that one task of a turn may take, such as ``"90s"`` or ``"10m"``.
        seed: of the weights, masks and draws.
        device, threads: as in ``charkit.train``, for every variant.
        settings: the model's and the text's settings, by section; ``options`` are the same by key, such as
            ``lstm_size=64``. A run is compared as it is, so it takes neither.
        progress: called with what is being done and the share of everything that is done.
        on_notice: called with each notice, such as which backends are left out, before the comparison begins.
        stop_request: gets the reason when a termination signal ends the comparison.
        command: how the comparison was started, for the report.

    Ctrl-C and a termination signal end it early; the report then says that it is partial. A backend that fails is an
    outcome of the report. Raises ConfigurationError, BackendError, TextError and RunError for what can't be compared.
    """
    _check_numbers(max_steps=max_steps, rounds=rounds, threads=threads, examine=examine, bound=bound)
    _check_names(backends=backends or (), precisions=precisions)
    limit = _turn_limit_seconds(turn_limit)
    start = _starting_point(
        source, merge(settings or {}, settings_from_keywords(options), _seed_setting(seed))
    )
    variants, notices = _select(start, backends or (), precisions, pythons or {}, device, own_layers)
    if on_notice is not None:
        for notice in notices:
            on_notice(notice)
    with (
        terminating_as_interrupting(stop_request or StopWish()),
        tempfile.TemporaryDirectory(prefix="charkit-compare-") as folder,
    ):
        plan = Plan(
            start.spec.config,
            steps=max_steps,
            rounds=min(rounds, max_steps),
            threads=available_threads() if threads is None else threads,
            folder=Path(folder),
            bound=bound,
            examined_at_random=examine,
            turn_limit_seconds=limit,
            sample_seed=start.spec.config.training.seed,
            command=command,
        )
        return run_comparison(plan, variants, start, progress, notices=notices)


def _select(
    start: StartingPoint,
    backends: Sequence[str],
    precisions: Sequence[str],
    pythons: Mapping[str, str | PathLike[str]],
    device: str | None,
    own_layers: bool,
) -> tuple[list[Variant], list[str]]:
    """The variants that take part, and the notices about the text and about what does not take part."""
    config = start.spec.config
    if pythons and not config.data.text:
        raise ConfigurationError(
            "without a text, each Python reads the reference of its own version; with `pythons`, name a text"
        )
    needs = required(model=config.model, optimizer=config.optimizer)
    interpreters = {name: str(python) for name, python in pythons.items()}
    variants, notices = select_variants(
        backends, list(dict.fromkeys(precisions)), interpreters, device, needs
    )
    if own_layers:
        own, left_out = available_own_layers(device, needs.values())
        variants, notices = [*variants, *own], [*notices, *left_out]
        if own and start.start:
            notices.append(
                "own layers start from the run's weights, without its optimizer's moments and its state"
            )
    return variants, [*start.notices, *notices]


def _starting_point(source: Paths | None, settings: Settings) -> StartingPoint:
    """A run's model if the source is a run, else a new model on a text."""
    given = [source] if isinstance(source, str | PathLike) else list(source or ())
    paths = [Path(one) for one in given]
    if any(is_run(path) for path in paths):
        if len(paths) > 1:
            raise ConfigurationError(
                f"compare takes one run or texts; given {', '.join(map(str, given))}; name the run alone"
            )
        return from_run(paths[0], settings)
    texts = {"data": {"text": tuple(map(str, given))}} if given else {}
    return from_text(merge(settings, texts))


def _seed_setting(seed: int | None) -> Settings:
    return {} if seed is None else {"training": {"seed": seed}}


def _check_numbers(
    *, max_steps: int, rounds: int, threads: int | None, examine: int, bound: float | None
) -> None:
    for name, number in (("max_steps", max_steps), ("rounds", rounds), ("threads", threads)):
        if number is not None and number < 1:
            raise ConfigurationError(f"`{name}` must be at least 1; given {number}")
    if examine < 0:
        raise ConfigurationError(f"`examine` must be at least 0; given {examine}")
    if bound is not None and not bound > 0:
        raise ConfigurationError(f"`bound` must be above 0; given {bound}")


def _check_names(*, backends: Sequence[str], precisions: Sequence[str]) -> None:
    for name, given in (("backends", backends), ("precisions", precisions)):
        if isinstance(given, str):
            raise ConfigurationError(
                f"`{name}` must be a sequence of names, such as [{given!r}]; given {given!r}"
            )
    for precision in precisions:
        check_choice("precision", precision, get_args(Precision))


def _turn_limit_seconds(text: str) -> float:
    try:
        return duration_seconds(text)
    except ValueError as error:
        raise ConfigurationError(f"`turn_limit` {text!r}: {error}") from error
