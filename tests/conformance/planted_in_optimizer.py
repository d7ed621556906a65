"""Planted faults of the optimizer, and the checks that must fail on each."""

from __future__ import annotations

from conformance import faults, optimizer_faults
from conformance.planted_fault import Fault

FAULTS = (
    Fault(
        "no clipping",
        faults.optimizer(optimizer_faults.NotClipping),
        ("clip_bounds_the_global_norm",),
        "missing gradient clipping",
    ),
    Fault(
        "clipping with an epsilon",
        faults.optimizer(optimizer_faults.ClippingWithEpsilon),
        ("clip_is_exact_for_small_norms",),
        "clipping with an epsilon",
    ),
    Fault(
        "clipping by the norm of each array",
        faults.optimizer(optimizer_faults.ClippingPerArray),
        ("clip_bounds_the_global_norm",),
        "clipping by the norm of each array",
    ),
    Fault(
        "small gradients enlarged",
        faults.optimizer(optimizer_faults.AlwaysScaling),
        ("small_gradients_are_not_scaled",),
        "clipping that also scales up small gradients",
    ),
    Fault(
        "grad_clip 0 used as a threshold of zero",
        faults.optimizer(optimizer_faults.ZeroIsABound),
        ("grad_clip_zero_is_off",),
        "a grad_clip of 0 treated as a threshold of zero",
    ),
    Fault(
        "the norm after clipping",
        faults.optimizer(optimizer_faults.TellingTheClippedNorm),
        ("clip_bounds_the_global_norm", "losses_of_ten_steps"),
        "the norm after clipping",
    ),
    Fault(
        "TF1's epsilon",
        faults.optimizer(optimizer_faults.TensorFlowEpsilon),
        ("epsilon_is_outside_the_root",),
        "Adam's epsilon inside the bias correction (TF1's form)",
    ),
    Fault(
        "Keras's epsilon",
        faults.optimizer(optimizer_faults.KerasEpsilon),
        ("epsilon_is_outside_the_root", "weights_after_ten_steps"),
        "Adam's epsilon inside the bias correction, with a value of 1e-7",
    ),
    Fault(
        "an epsilon of 1e-7",
        faults.optimizer(optimizer_faults.LargeEpsilon),
        ("epsilon_is_outside_the_root", "weights_after_ten_steps"),
        "an Adam epsilon of 1e-7",
    ),
    Fault(
        "no bias corrections",
        faults.optimizer(optimizer_faults.NotCorrecting),
        ("first_step_of_adam", "ten_steps_of_adam"),
        "missing bias corrections",
    ),
    Fault(
        "a separate step count",
        faults.optimizer(optimizer_faults.CountingItself),
        ("bias_corrections_come_from_the_rates",),
        "the optimizer's own step count",
    ),
    Fault(
        "the configured learning rate",
        faults.optimizer(optimizer_faults.OwnLearningRate),
        ("learning_rate_follows_the_schedule",),
        "the configured learning rate",
    ),
    Fault(
        "a second trainable bias",
        faults.optimizer(optimizer_faults.MovingBiasesTwice),
        ("first_step_of_adam", "weights_after_ten_steps"),
        "a second trainable bias doubles its updates",
    ),
    Fault(
        "division by a norm of zero",
        faults.optimizer(optimizer_faults.DividingByTheNorm),
        ("zero_gradients_change_no_weights",),
    ),
    Fault(
        "weights returned in the same dictionary",
        faults.optimizer(optimizer_faults.SameDictionary),
        ("returned_weights_are_a_new_dictionary",),
    ),
)
