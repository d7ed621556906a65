"""Planted faults with the exact names that the diagnosis must give them."""

# Over 300 lines: a table, one small class for each planted mistake.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from charkit.config import OptimizerConfig
from charkit.testing import Subject, updates
from charkit.testing.cases import Case, gradients_of, make_case
from charkit.testing.checks import forward, gradients, loss
from charkit_numpy.backend import NumpyBackend
from conformance import faults, named_faults, named_optimizer_faults, optimizer_faults
from conformance.plain_network import PlainNetwork, backend

Comparison = Callable[[Subject, str], None]


@dataclass(frozen=True)
class Fault:
    """A planted fault, the comparison that finds it, and the name and file that it must give."""

    what: str
    backend: type[NumpyBackend]
    compare: Comparison
    named: str
    file: str


def forward_case(**sizes: Any) -> Comparison:
    return lambda subject, precision: forward._check_forward(
        subject, precision, make_case(**sizes), "lstm.py"
    )


def gradients_case(**sizes: Any) -> Comparison:
    return lambda subject, precision: gradients._check_gradients(
        subject, precision, make_case(**sizes), "lstm.py"
    )


def nats_case(case: Case) -> Comparison:
    return lambda subject, precision: loss._check_nats(subject, precision, case, "loss.py")


def many_symbols(case: Case) -> Case:
    return replace(case, symbols=case.symbols % 7 * 80, targets=case.targets % 7 * 80)


def extreme_logits(case: Case) -> Case:
    bias = np.linspace(-2000.0, 2000.0, case.model.vocabulary_size)
    return replace(case, weights=case.weights | {"output.bias": bias})


def optimizer_steps(size: float = 1.0, count: int = 4, **settings: float) -> Comparison:
    """Steps of an optimizer with these settings, on different gradients that become smaller."""
    given = [gradients_of(updates.MODEL, 100 + 20 * step, size / (1 + step)) for step in range(count)]
    taken = updates.Updates(OptimizerConfig(**{"grad_clip": 1000.0, **settings}), given)
    return lambda subject, precision: updates.check_updates(subject, precision, taken, look_at="optimizer.py")


MASKED = {"num_layers": 3, "masked": True}
MANY = many_symbols(make_case(vocabulary_size=600, num_layers=1))
LSTM, OUTPUT, LOSS, OPTIMIZER, BACKEND = "lstm.py", "output.py", "loss.py", "optimizer.py", "backend.py"
F, N = named_faults, named_optimizer_faults
SAME = ", which give the same numbers here"


def network(
    name: str, faulty: type[PlainNetwork], compare: Comparison, named: str, file: str = LSTM
) -> Fault:
    return Fault(name, backend(faulty), compare, named, file)


def adam(name: str, faulty: type[optimizer_faults.Adam], compare: Comparison, named: str) -> Fault:
    return Fault(name, faults.optimizer(faulty), compare, named, OPTIMIZER)


FAULTS = (
    network("no tanh of c", F.CellNotSquashed, gradients_case(), "a missing tanh(c): h is o * c"),
    network("no tanh of g", F.CandidateNotSquashed, forward_case(), "a missing tanh of the candidate g"),
    network(
        "a sigmoid by tanh",
        F.SigmoidByTanh,
        forward_case(),
        "a sigmoid of 2z: 0.5 * (1 + tanh(z)) without the 0.5 inside tanh",
    ),
    network("slope doubled", F.TwiceTheSlope, gradients_case(), "a doubled derivative of the sigmoid"),
    network("no slope", F.NoSlope, gradients_case(), "a missing derivative of the sigmoid"),
    network(
        "no slope of g",
        F.NoSlopeOfCandidate,
        gradients_case(),
        "a missing derivative of the candidate's tanh",
    ),
    network("no slope of c", F.NoSlopeOfCell, gradients_case(), "a missing derivative of tanh(c)"),
    network("no f", F.ForgetGateNotTrained, gradients_case(), "a missing gradient of the forget gate"),
    network("no o", F.OutputGateNotTrained, gradients_case(), "a missing gradient of the output gate"),
    network(
        "hidden detached",
        F.HiddenDetached,
        gradients_case(),
        "a gradient that does not flow through the hidden state",
    ),
    network(
        "cell detached",
        F.CellDetached,
        gradients_case(),
        "a gradient that does not flow through the cell state",
    ),
    network(
        "cut every 16",
        F.CutEverySixteen,
        gradients_case(num_steps=40, num_layers=1),
        "truncated backpropagation (every 16 symbols)",
    ),
    network(
        "cut every 7 from the end",
        F.CutEverySevenFromEnd,
        gradients_case(num_steps=40, num_layers=1),
        "truncated backpropagation (every 7 symbols)",
    ),
    network(
        "one step less",
        F.FewerSteps,
        gradients_case(),
        "the gradient of a mean that counts one time step too few",
        BACKEND,
    ),
    network("negated", F.GradientNegated, gradients_case(), "a gradient with the wrong sign", BACKEND),
    network(
        "step before", F.MaskOfStepBefore, gradients_case(**MASKED), "the mask of the previous time step"
    ),
    network(
        "layer below",
        F.MaskOfLayerBelow,
        gradients_case(**MASKED),
        "the wrong layer's mask: that of the layer below",
    ),
    network(
        "one mask",
        F.OneMaskForAllSteps,
        gradients_case(**MASKED),
        "the first time step's mask at every time step",
    ),
    network(
        "the layers below not dropped",
        F.LowerLayersNotDropped,
        gradients_case(**MASKED),
        "dropout only on the last layer, not between layers",
    ),
    network(
        "times the share",
        F.KeptTimesShare,
        gradients_case(**MASKED),
        "a dropout scale of 1 - dropout instead of 1 / (1 - dropout)",
    ),
    network("weight_hh", F.RecurrentTransposed, forward_case(), "a weight_hh transposed gate by gate"),
    Fault(
        "vocabulary first",
        F.VocabularyFirst,
        forward_case(),
        "logits with the vocabulary axis before the batch axis",
        OUTPUT,
    ),
    Fault("no output bias", F.no_output_bias, forward_case(), "a missing output bias", OUTPUT),
    Fault(
        "output weight turned",
        F.turned_output,
        forward_case(lstm_size=7),
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
        nats_case(make_case()),
        "a doubled bias: it is added twice in the forward pass",
        LSTM,
    ),
    Fault(
        "targets shifted",
        F.shifted_targets,
        nats_case(make_case()),
        "targets shifted by one: each time step uses the target of the previous time step",
        LOSS,
    ),
    Fault("byte symbols", F.byte_symbols, nats_case(MANY), "symbols taken modulo 256, as in uint8", BACKEND),
    Fault("byte targets", F.byte_targets, nats_case(MANY), "targets taken modulo 256, as in uint8", BACKEND),
    Fault(
        "the sum of the exponentials overflows",
        F.log_sum_exp_overflows,
        nats_case(extreme_logits(make_case())),
        "an overflow or underflow: the maximum of a row of logits is not subtracted before exp",
        LOSS,
    ),
    adam(
        "the change scaled",
        N.ScalingTheChange,
        optimizer_steps(grad_clip=1.0),
        "clipping after Adam: the update is scaled instead of the gradients",
    ),
    adam(
        "the change clipped",
        N.ClippingTheChange,
        optimizer_steps(grad_clip=0.01),
        "clipping after Adam: the update is clipped by its own norm",
    ),
    adam(
        "second of raw",
        N.SecondOfRaw,
        optimizer_steps(grad_clip=1.0),
        "a second moment of the gradients before clipping",
    ),
    adam(
        "first of raw",
        N.FirstOfRaw,
        optimizer_steps(grad_clip=1.0),
        "a first moment of the gradients before clipping",
    ),
    adam("lookahead", N.Lookahead, optimizer_steps(), "Nesterov momentum (NAdam)"),
    adam(
        "optax's lookahead",
        N.LookaheadOfOptax,
        optimizer_steps(),
        "Nesterov momentum (NAdam, optax's form)",
    ),
    adam(
        "the top",
        N.NeverForgetting,
        optimizer_steps(beta2=0.5),
        "AMSGrad: the highest second moment so far",
    ),
    adam(
        "the corrected top",
        N.NeverForgettingCorrected,
        optimizer_steps(),
        "AMSGrad: the highest corrected second moment so far (optax's form)",
    ),
    adam(
        "the top kept",
        N.NeverForgettingInPlace,
        optimizer_steps(beta2=0.5),
        "AMSGrad: the highest second moment so far, stored as the second moment",
    ),
    adam(
        "a decay",
        N.Decaying,
        optimizer_steps(learning_rate=0.3),
        "an unconfigured decoupled weight decay of 0.01",
    ),
    adam(
        "a decay of matrices",
        N.DecayingMatrices,
        optimizer_steps(learning_rate=0.3),
        "an unconfigured decoupled weight decay of 0.1, on the matrices only",
    ),
    adam("beta1", N.DefaultBeta1, optimizer_steps(beta1=0.8), "a beta1 of 0.9 instead of 0.8"),
    adam("beta2", N.DefaultBeta2, optimizer_steps(beta2=0.95), "a beta2 of 0.999 instead of 0.95"),
    adam(
        "beta2 in the correction too",
        N.OwnCorrection,
        optimizer_steps(beta2=0.95),
        "a beta2 of 0.999 instead of 0.95, in the bias corrections too",
    ),
    adam(
        "epsilon",
        N.DefaultEpsilon,
        optimizer_steps(1e-3, epsilon=1e-4),
        "an Adam epsilon of 1e-8 instead of 1e-4",
    ),
    adam("betas swapped", N.SwappedBetas, optimizer_steps(beta1=0.7, beta2=0.95), "swapped betas"),
    adam(
        "one beta",
        N.OneBeta,
        optimizer_steps(beta1=0.7, beta2=0.95),
        "beta1 used for both moments",
    ),
    adam("twice as fast", N.TwiceAsFast, optimizer_steps(), "a learning rate multiplied by 2"),
    adam(
        "climbing",
        N.Climbing,
        optimizer_steps(),
        "an update with the wrong sign: the change is added",
    ),
    adam(
        "moments swapped",
        N.SwappingMoments,
        optimizer_steps(),
        "swapped moments: they are read and returned in the wrong order",
    ),
    adam(
        "no factor",
        N.SumOfGradients,
        optimizer_steps(),
        "a first moment without the factor 1 - beta1",
    ),
)
