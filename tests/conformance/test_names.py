"""Mistakes are named exactly, and nothing is named that is not proven."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from charkit.config import OptimizerConfig
from charkit.testing import Subject, all_checks, run_check, updates
from charkit.testing.cases import Case, gradients_of, make_case
from charkit.testing.checks import forward, gradients, loss
from charkit.testing.tolerances import Mismatch
from charkit_numpy.backend import NumpyBackend
from conformance import faults, named_faults, named_optimizer_faults, optimizer_faults, unexplained_faults
from conformance.plain_network import PlainNetwork, backend

CHECKS = {check.name: check for check in all_checks()}
Judge = Callable[[Subject, str], None]


@dataclass(frozen=True)
class Fault:
    """A planted fault, what judges it, and what it must be called, where."""

    what: str
    backend: type[NumpyBackend]
    judge: Judge
    named: str
    file: str


def _forward(**sizes: Any) -> Judge:
    return lambda subject, precision: forward._check_forward(
        subject, precision, make_case(**sizes), "lstm.py"
    )


def _gradients(**sizes: Any) -> Judge:
    return lambda subject, precision: gradients._check_gradients(
        subject, precision, make_case(**sizes), "lstm.py"
    )


def _nats(case: Case) -> Judge:
    return lambda subject, precision: loss._check_nats(subject, precision, case, "loss.py")


def _many_symbols(case: Case) -> Case:
    return replace(case, symbols=case.symbols % 7 * 80, targets=case.targets % 7 * 80)


def _extreme(case: Case) -> Case:
    bias = np.linspace(-2000.0, 2000.0, case.model.vocabulary_size)
    return replace(case, weights=case.weights | {"output.bias": bias})


def _steps(size: float = 1.0, count: int = 4, **settings: float) -> Judge:
    """Steps of an optimizer with these settings, on other gradients each, the later ones smaller."""
    given = [gradients_of(updates.MODEL, 100 + 20 * step, size / (1 + step)) for step in range(count)]
    taken = updates.Updates(OptimizerConfig(**{"grad_clip": 1000.0, **settings}), given)
    return lambda subject, precision: updates.check_updates(subject, precision, taken, look_at="optimizer.py")


MASKED = {"num_layers": 3, "masked": True}
MANY = _many_symbols(make_case(vocabulary_size=600, num_layers=1))
LSTM, OUTPUT, LOSS, OPTIMIZER, BACKEND = "lstm.py", "output.py", "loss.py", "optimizer.py", "backend.py"
F, N = named_faults, named_optimizer_faults
SAME = ", which give the same numbers here"


def network(name: str, faulty: type[PlainNetwork], judge: Judge, named: str, file: str = LSTM) -> Fault:
    return Fault(name, backend(faulty), judge, named, file)


def adam(name: str, faulty: type[optimizer_faults.Adam], judge: Judge, named: str) -> Fault:
    return Fault(name, faults.optimizer(faulty), judge, named, OPTIMIZER)


FAULTS = (
    network("no tanh of c", F.CellNotSquashed, _gradients(), "a missing tanh(c): h is o * c"),
    network("no tanh of g", F.CandidateNotSquashed, _forward(), "a missing tanh of the candidate g"),
    network(
        "a sigmoid by tanh",
        F.SigmoidByTanh,
        _forward(),
        "a sigmoid of 2z: 0.5 * (1 + tanh(z)) without the half inside",
    ),
    network("slope doubled", F.TwiceTheSlope, _gradients(), "a doubled derivative of the sigmoid"),
    network("no slope", F.NoSlope, _gradients(), "a missing derivative of the sigmoid"),
    network(
        "no slope of g", F.NoSlopeOfCandidate, _gradients(), "a missing derivative of the candidate's tanh"
    ),
    network("no slope of c", F.NoSlopeOfCell, _gradients(), "a missing derivative of tanh(c)"),
    network("no f", F.ForgetGateNotTrained, _gradients(), "a missing gradient of the forget gate"),
    network("no o", F.OutputGateNotTrained, _gradients(), "a missing gradient of the output gate"),
    network(
        "hidden detached",
        F.HiddenDetached,
        _gradients(),
        "a gradient that does not flow through the hidden state",
    ),
    network(
        "cell detached",
        F.CellDetached,
        _gradients(),
        "a gradient that does not flow through the cell state",
    ),
    network(
        "cut every 16",
        F.CutEverySixteen,
        _gradients(num_steps=40, num_layers=1),
        "backpropagation truncated every 16 symbols",
    ),
    network(
        "cut every 7 from the end",
        F.CutEverySevenFromEnd,
        _gradients(num_steps=40, num_layers=1),
        "backpropagation truncated every 7 symbols",
    ),
    network(
        "one step less",
        F.FewerSteps,
        _gradients(),
        "the gradient of a sum over time divided by one time step too few",
        BACKEND,
    ),
    network("negated", F.GradientNegated, _gradients(), "a gradient with the wrong sign", BACKEND),
    network("step before", F.MaskOfStepBefore, _gradients(**MASKED), "the mask of the previous time step"),
    network(
        "layer below",
        F.MaskOfLayerBelow,
        _gradients(**MASKED),
        "another layer's mask: that of the layer below",
    ),
    network(
        "one mask",
        F.OneMaskForAllSteps,
        _gradients(**MASKED),
        "the first time step's mask at every time step",
    ),
    network(
        "the layers below not dropped",
        F.LowerLayersNotDropped,
        _gradients(**MASKED),
        "no dropout between the layers, only on the last",
    ),
    network(
        "times the share",
        F.KeptTimesShare,
        _gradients(**MASKED),
        "a dropout scale of 1 - dropout instead of 1 / (1 - dropout)",
    ),
    network("weight_hh", F.RecurrentTransposed, _forward(), "a transposed weight_hh, gate by gate"),
    Fault(
        "vocabulary first",
        F.VocabularyFirst,
        _forward(),
        "logits with the vocabulary before the batch",
        OUTPUT,
    ),
    Fault("no output bias", F.no_output_bias, _forward(), "a missing output bias", OUTPUT),
    Fault(
        "output weight turned",
        F.turned_output,
        _forward(lstm_size=7),
        "a transposed output weight",
        OUTPUT,
    ),
    Fault(
        "a doubled bias, found by its loss",
        faults.lstm(
            lambda inner, model, weights, *rest: inner(
                faults.changed_biases(weights, lambda bias: 2 * bias), *rest
            )
        ),
        _nats(make_case()),
        "a doubled bias: it is added twice in the forward pass",
        LSTM,
    ),
    Fault(
        "targets shifted",
        F.shifted_targets,
        _nats(make_case()),
        "targets shifted by one: each time step has the previous target",
        LOSS,
    ),
    Fault("byte symbols", F.byte_symbols, _nats(MANY), "symbols taken modulo 256, as uint8 does", BACKEND),
    Fault("byte targets", F.byte_targets, _nats(MANY), "targets taken modulo 256, as uint8 does", BACKEND),
    Fault(
        "the sum of the exponentials overflows",
        F.log_sum_exp_overflows,
        _nats(_extreme(make_case())),
        "an overflow: the maximum logit is not subtracted before exp",
        LOSS,
    ),
    adam(
        "the change scaled",
        N.ScalingTheChange,
        _steps(grad_clip=1.0),
        "clipping after Adam: the change is scaled instead of the gradients",
    ),
    adam(
        "the change clipped",
        N.ClippingTheChange,
        _steps(grad_clip=0.01),
        "clipping after Adam: the change is clipped by its own norm",
    ),
    adam(
        "second of raw",
        N.SecondOfRaw,
        _steps(grad_clip=1.0),
        "a second moment of the gradients before clipping",
    ),
    adam(
        "first of raw",
        N.FirstOfRaw,
        _steps(grad_clip=1.0),
        "a first moment of the gradients before clipping",
    ),
    adam("lookahead", N.Lookahead, _steps(), "Nesterov's momentum (NAdam)"),
    adam(
        "optax's lookahead",
        N.LookaheadOfOptax,
        _steps(),
        "Nesterov's momentum (NAdam, optax's form)",
    ),
    adam(
        "the top",
        N.NeverForgetting,
        _steps(beta2=0.5),
        "AMSGrad: the highest second moment so far",
    ),
    adam(
        "the corrected top",
        N.NeverForgettingCorrected,
        _steps(),
        "AMSGrad: the highest corrected second moment so far (optax's form)",
    ),
    adam(
        "the top kept",
        N.NeverForgettingInPlace,
        _steps(beta2=0.5),
        "AMSGrad: the highest second moment so far, kept as the moment",
    ),
    adam(
        "a decay",
        N.Decaying,
        _steps(learning_rate=0.3),
        "a decoupled weight decay of 0.01 that is not configured",
    ),
    adam(
        "a decay of matrices",
        N.DecayingMatrices,
        _steps(learning_rate=0.3),
        "a decoupled weight decay of 0.1 that is not configured, of the matrices only",
    ),
    adam("beta1", N.DefaultBeta1, _steps(beta1=0.8), "beta1 of 0.9 instead of 0.8"),
    adam("beta2", N.DefaultBeta2, _steps(beta2=0.95), "beta2 of 0.999 instead of 0.95"),
    adam(
        "beta2 in the correction too",
        N.OwnCorrection,
        _steps(beta2=0.95),
        "beta2 of 0.999 instead of 0.95, in the bias corrections too",
    ),
    adam(
        "epsilon",
        N.DefaultEpsilon,
        _steps(1e-3, epsilon=1e-4),
        "Adam's epsilon of 1e-8 instead of 1e-4",
    ),
    adam("betas swapped", N.SwappedBetas, _steps(beta1=0.7, beta2=0.95), "swapped betas"),
    adam(
        "one beta",
        N.OneBeta,
        _steps(beta1=0.7, beta2=0.95),
        "beta1 used for both moments",
    ),
    adam("twice as fast", N.TwiceAsFast, _steps(), "the learning rate times 2"),
    adam(
        "climbing",
        N.Climbing,
        _steps(),
        "an update with the wrong sign: the change is added",
    ),
    adam(
        "moments swapped",
        N.SwappingMoments,
        _steps(),
        "swapped moments: they are read and returned in the wrong order",
    ),
    adam(
        "no factor",
        N.SumOfGradients,
        _steps(),
        "a first moment without the factor 1 - beta1",
    ),
)
_CLAMPED = "a clamped loss: "
#: What shows in float64 alone, or is told apart from its like there alone.
IN_FLOAT64 = (
    Fault(
        "clipped like Keras",
        F.clipped_like_keras,
        _nats(_extreme(make_case())),
        f"{_CLAMPED}probabilities kept within 1e-7 of 0 and 1",
        LOSS,
    ),
    Fault(
        "an epsilon added",
        F.with_epsilon,
        _nats(_extreme(make_case())),
        f"{_CLAMPED}1e-8 added to probabilities",
        LOSS,
    ),
    Fault(
        "clipped below",
        F.clipped_below,
        _nats(_extreme(make_case())),
        f"{_CLAMPED}either probabilities kept within 1e-12 of 0 and 1 or probabilities of at least 1e-12 or "
        f"1e-12 added to probabilities{SAME}",
        LOSS,
    ),
    adam(
        "L2",
        N.PullingGradients,
        _steps(),
        "an L2 decay of 1e-5 in the gradient that is not configured",
    ),
    Fault("arrays narrowed", F.NarrowIn, _gradients(), "inputs rounded to float32", BACKEND),
    Fault(
        "arrays and rates narrowed",
        F.NarrowIn,
        _steps(),
        "inputs rounded to float32",
        BACKEND,
    ),
    Fault("rates narrowed", F.NarrowScalars, _steps(), "Rates rounded to float32", BACKEND),
    adam(
        "constants narrowed",
        N.NarrowConstants,
        _steps(),
        "constants of the optimizer rounded to float32",
    ),
    network("scale narrowed", F.ScaleInFloat32, _gradients(**MASKED), "the dropout scale rounded to float32"),
)


def named(fault_backend: type[NumpyBackend], judge: Judge, precision: str) -> tuple[str, str]:
    """The mistake that is named, and where to look; both empty where none is."""
    with np.errstate(all="ignore"), pytest.raises(Mismatch) as caught:
        judge(Subject("numpy", faults.make(fault_backend)), precision)
    match = re.match("it looks like (.+?); see (.+)", caught.value.look_at)
    return (match[1], match[2]) if match else ("", "")


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_fault_is_named_exactly(fault: Fault, precision: str) -> None:
    name, where = named(fault.backend, fault.judge, precision)
    assert name == fault.named
    assert where.startswith(fault.file)


@pytest.mark.parametrize("fault", IN_FLOAT64, ids=lambda fault: fault.what)
def test_fault_is_named_exactly_in_float64(fault: Fault) -> None:
    name, where = named(fault.backend, fault.judge, "float64")
    assert name == fault.named
    assert where.startswith(fault.file)


def test_what_float32_cannot_tell_apart_is_named_together() -> None:
    name, _ = named(F.clipped_like_keras, _nats(_extreme(make_case())), "float32")
    assert name == (
        f"{_CLAMPED}either probabilities kept within 1e-7 of 0 and 1 or probabilities of at least 1e-7 or "
        f"1e-7 added to probabilities{SAME}"
    )


def test_float32_numbers_are_named_as_a_fact() -> None:
    name, where = named(F.NarrowOut, _forward(), "float64")
    held = "logits, hidden after one symbol, cell after one symbol, hidden and cell hold float32 numbers"
    assert name == f"float32 arithmetic instead of float64: {held}"
    assert where.startswith("backend.py tensor()")


def _passing(*stages: str) -> list[str]:
    """The checks of these stages that a backend without precisions or capabilities of its own has to pass."""
    return [one.name for one in CHECKS.values() if one.stage in stages and not (one.capability or one.among)]


@pytest.mark.parametrize("check", _passing("forward", "gradients"))
def test_the_plain_network_is_right(check: str) -> None:
    assert run_check(CHECKS[check], Subject("numpy", faults.make(backend(PlainNetwork)))).passed


@pytest.mark.parametrize("check", _passing("optimizer"))
def test_the_plain_optimizer_is_right(check: str) -> None:
    assert run_check(CHECKS[check], Subject("numpy", faults.make(faults.optimizer(N.Clipping)))).passed


# ---- nothing is named that is not proven -----------------------------------------------------------------

UNEXPLAINED = (
    unexplained_faults.noisy,
    unexplained_faults.one_array_scaled,
    unexplained_faults.one_element_off,
    unexplained_faults.one_element_gone,
)
JUDGES: tuple[tuple[int, Judge], ...] = (
    (0, _forward()),
    (0, _forward(**MASKED)),
    (0, _nats(make_case(masked=True))),
    (1, _gradients()),
    (1, _gradients(**MASKED)),
    (1, _gradients(batch_size=1)),
    (2, _steps()),
    (2, _steps(count=1)),
    (2, _steps(grad_clip=1.0)),
)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("change", UNEXPLAINED, ids=lambda change: change.__name__)
@pytest.mark.parametrize(("which", "judge"), JUDGES)
def test_what_no_mistake_explains_is_not_named(which: int, judge: Judge, change: Any, precision: str) -> None:
    assert named(unexplained_faults.backends(change)[which], judge, precision) == ("", "")


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    "faulty",
    [
        N.OneAndTwo,
        N.FactorOfTheOther,
        N.HalfOfTheGradient,
    ],
)
def test_what_only_a_first_step_explains_is_not_named(
    faulty: type[optimizer_faults.Adam], precision: str
) -> None:
    """A name must also give several steps from moments that are not zero."""
    assert named(faults.optimizer(faulty), _steps(count=1), precision) == ("", "")


def test_an_optimizer_that_fails_on_the_second_case_is_not_named() -> None:
    class FailsLater(N.OneBeta):
        def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
            if self.config.epsilon == updates.PROOF.optimizer.epsilon:
                raise ValueError("an optimizer that knows one configuration")
            return super().__call__(weights, moments, gradients, rates)

    assert named(faults.optimizer(FailsLater), _steps(beta1=0.7, beta2=0.95), "float32") == ("", "")
