"""Search by a tree-structured Parzen estimator (Bergstra et al., 2011), through Optuna's ask-and-tell interface.

Optuna keeps nothing: its study is made anew, in memory, from the trials that the sweep's folder has. The sampler is
seeded by the sweep's seed and the trial's number, so that the suggestion follows from these alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from charkit.errors import ConfigurationError
from charkit.randomness import Purpose, uniform
from charkit_sweep.axes import Axis, Value
from charkit_sweep.spec import SweepSpec

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

#: Trials that are drawn at random before the estimator has enough to go by, as in Optuna itself.
RANDOM_TRIALS = 10


@dataclass(frozen=True)
class Observation:
    """What came of a trial so far: its loss in nats after ``step``, infinite where it diverged, None where unknown.

    ``is_whole``: it was trained to its end. ``is_running``: more of it will come.
    """

    values: Mapping[str, Value]
    step: int
    loss: float | None
    is_whole: bool
    is_running: bool


def check_installed() -> None:
    """Raises ConfigurationError where Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "a TPE search needs Optuna, which is not installed; run: pip install optuna"
        ) from error


def suggested(spec: SweepSpec, number: int, observations: Sequence[Observation]) -> dict[str, Value]:
    """The values that the estimator suggests for trial ``number``. Raises ConfigurationError without Optuna."""
    check_installed()
    import optuna

    distributions = {axis.key: _distribution(axis) for axis in spec.axes}
    seed = int(uniform(spec.search_seed, Purpose.SEARCH, number, size=1)[0] * 2**32)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of older releases
            sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=RANDOM_TRIALS, constant_liar=True
            )
        study = optuna.create_study(sampler=sampler, direction="minimize")
        for observation in observations:
            study.add_trial(_frozen(spec, observation, distributions))
        drawn = study.ask(distributions).params
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {axis.key: _value(axis, drawn[axis.key]) for axis in spec.axes}


def _distribution(axis: Axis) -> BaseDistribution:
    from optuna import distributions

    if not axis.is_range:
        return distributions.CategoricalDistribution(range(len(axis.values or ())))
    if axis.values is not None:  # the steps of a range have an order, which a category has not
        return distributions.IntDistribution(0, len(axis.values) - 1)
    if axis.is_whole:
        return distributions.IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return distributions.FloatDistribution(axis.low, axis.high, log=axis.log)


def _value(axis: Axis, drawn: Any) -> Value:
    return axis.rounded(drawn) if axis.values is None else axis.values[int(drawn)]


def _parameter(axis: Axis, value: Any) -> Any:
    return value if axis.values is None else axis.values.index(value)


def _frozen(spec: SweepSpec, one: Observation, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    """A trial as Optuna has it: complete, stopped early with the loss that it had, running, or failed."""
    from optuna.trial import TrialState, create_trial

    known = one.loss is not None and isfinite(one.loss)
    state = TrialState.FAIL
    if one.is_running:
        state = TrialState.RUNNING
    elif one.loss is not None:  # one that diverged is among the worst that were stopped
        state = TrialState.COMPLETE if one.is_whole and known else TrialState.PRUNED
    return create_trial(
        state=state,
        params={axis.key: _parameter(axis, one.values[axis.key]) for axis in spec.axes},
        distributions=distributions,
        value=one.loss if state is TrialState.COMPLETE else None,
        intermediate_values={one.step: one.loss} if known and one.loss is not None else {},
    )
