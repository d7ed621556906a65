"""Planted faults whose names only float64 gives, with those names."""

from __future__ import annotations

from charkit.testing.cases import make_case
from conformance.named_mistakes import (
    BACKEND,
    LOSS,
    MASKED,
    SAME,
    F,
    Fault,
    N,
    adam,
    extreme_logits,
    gradients_case,
    nats_case,
    network,
    optimizer_steps,
)

CLAMPED = "a clamped loss: "
#: Faults that show in float64 alone, or that only float64 distinguishes from others.
IN_FLOAT64 = (
    Fault(
        "clipped like Keras",
        F.clipped_like_keras,
        nats_case(extreme_logits(make_case())),
        f"{CLAMPED}probabilities kept at least 1e-7 away from 0 and 1",
        LOSS,
    ),
    Fault(
        "an epsilon added",
        F.with_epsilon,
        nats_case(extreme_logits(make_case())),
        f"{CLAMPED}1e-8 added to probabilities",
        LOSS,
    ),
    Fault(
        "clipped below",
        F.clipped_below,
        nats_case(extreme_logits(make_case())),
        f"{CLAMPED}either probabilities kept at least 1e-12 away from 0 and 1 or probabilities of at least 1e-12 or "
        f"1e-12 added to probabilities{SAME}",
        LOSS,
    ),
    adam(
        "L2",
        N.PullingGradients,
        optimizer_steps(),
        "an unconfigured L2 penalty of 1e-5 in the gradient",
    ),
    Fault("arrays narrowed", F.NarrowIn, gradients_case(), "inputs rounded to float32", BACKEND),
    Fault(
        "arrays and rates narrowed",
        F.NarrowIn,
        optimizer_steps(),
        "inputs rounded to float32",
        BACKEND,
    ),
    Fault("rates narrowed", F.NarrowScalars, optimizer_steps(), "rates rounded to float32", BACKEND),
    adam(
        "constants narrowed",
        N.NarrowConstants,
        optimizer_steps(),
        "constants of the optimizer rounded to float32",
    ),
    network(
        "scale narrowed", F.ScaleInFloat32, gradients_case(**MASKED), "the dropout scale rounded to float32"
    ),
)
