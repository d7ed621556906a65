"""Planted faults of declarations, arrays and the network, and the checks that must fail on each."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance import backend_faults, faults
from conformance.planted_fault import Fault


def _state_zeroed(inner: Any, model: Any, *arguments: Any) -> Any:
    return faults.state_of(inner(*arguments), faults.zeros)


FAULTS = (
    # import and build
    Fault("a name that differs from the plugin's", backend_faults.OtherName, ("class_is_complete",)),
    Fault("no devices", backend_faults.NoDevices, ("precisions_and_devices_are_declared",)),
    Fault("unknown precisions", backend_faults.OddPrecisions, ("precisions_and_devices_are_declared",)),
    Fault("no versions", backend_faults.NoVersions, ("versions_are_reported",)),
    Fault("no loss function", backend_faults.NoLoss, ("parts_are_built",)),
    Fault("a precision that is not kept", backend_faults.ForgetsPrecision, ("settings_are_kept",)),
    Fault("transposed arrays", backend_faults.Transposing, ("weights_out_equal_weights_in",)),
    Fault("integers converted to float", backend_faults.AllFloating, ("arrays_keep_type_and_shape",)),
    Fault("tensor() without a copy", backend_faults.NotCopyingIn, ("arrays_in_are_copies",)),
    Fault(
        "numpy() without a copy",
        backend_faults.NotCopyingOut,
        ("arrays_out_are_copies", "copies_survive_the_update"),
    ),
    # forward
    Fault(
        "gates read as i, g, f, o",
        faults.lstm(
            lambda inner, model, weights, *rest: inner(faults.reordered(weights, (0, 2, 1, 3)), *rest)
        ),
        (
            "one_layer",
            "three_layers",
            "state_is_carried",
            "nats_of_each_symbol",
            "other_weights_give_other_logits",
        ),
        "the wrong gate order: weights read as i, g, f, o (TF1's)",
    ),
    Fault(
        "bias added twice",
        faults.lstm(
            lambda inner, model, weights, *rest: inner(
                faults.changed_biases(weights, lambda bias: 2 * bias), *rest
            )
        ),
        ("one_layer", "nats_with_masks"),
        "a doubled bias",
    ),
    Fault(
        "forget bias added at run time",
        faults.lstm(
            lambda inner, model, weights, *rest: inner(
                faults.changed_biases(weights, faults.plus_one_on_forget), *rest
            )
        ),
        ("three_layers",),
        "a forget bias of 1",
    ),
    Fault(
        "float32 arithmetic in float64",
        faults.lstm(faults.in_float32),
        ("three_layers",),
        "float32 arithmetic",
    ),
    Fault(
        "the given state is dropped",
        faults.lstm(
            lambda inner, model, weights, symbols, state, masks: inner(
                weights, symbols, faults.zeros(state), masks
            )
        ),
        ("state_is_carried", "nats_of_each_symbol", "gradients_with_state"),
        "a dropped state",
    ),
    Fault(
        "the returned state is zero",
        faults.lstm(_state_zeroed),
        ("state_is_carried", "losses_of_ten_steps", "weights_after_ten_steps"),
        "a dropped state",
    ),
    Fault(
        "the state is lost between steps",
        faults.lstm(_state_zeroed),
        (
            "symbol_by_symbol_equals_whole",
            "memory_beyond_num_steps_is_learned",
            "predictions_of_one_symbol",
            "state_after_prime_text",
            "greedy_text",
            "text_at_a_temperature",
        ),
    ),
    Fault(
        "layers of the state swapped",
        faults.lstm(
            lambda inner, model, weights, symbols, state, masks: faults.state_of(
                inner(weights, symbols, faults.flipped(state), masks), faults.flipped
            )
        ),
        ("state_is_carried",),
        "reversed layers of the state",
    ),
    Fault(
        "a batch of one sequence squeezed", faults.lstm(faults.squeezing), ("batch_of_one_and_single_step",)
    ),
    Fault("sequences mixed", faults.lstm(faults.mixing_sequences), ("slices_of_a_batch",)),
    Fault(
        "weights cached forever", faults.lstm_class(faults.StaleLstm), ("other_weights_give_other_logits",)
    ),
    Fault("the given state overwritten", faults.lstm(faults.writing_to_state), ("state_is_not_consumed",)),
    Fault(
        "the state in a reused buffer",
        faults.keeping_state_in_a_buffer(),
        ("evaluation_does_not_affect_training",),
    ),
    Fault(
        "no dropout on the last layer",
        faults.lstm_class(faults.LastLayerKept),
        ("masks_drop_every_layer", "nats_with_masks"),
        "no dropout on the last layer",
    ),
    Fault(
        "no dropout scale",
        faults.lstm_class(faults.NotScaled),
        ("kept_outputs_are_scaled", "masks_drop_every_layer"),
        "a missing dropout scale",
    ),
    Fault(
        "dropout on the carried state",
        faults.lstm(faults.masking_the_carried_state),
        ("carried_state_is_not_masked", "nats_with_masks"),
        "dropout on the carried state",
    ),
    Fault("float32 under the name of bfloat16", backend_faults.BfloatInName, ("bfloat16_is_not_float32",)),
    # loss
    Fault(
        "bits instead of nats",
        faults.loss(lambda inner, *rest: inner(*rest) / np.log(2)),
        ("nats_of_each_symbol", "nats_with_masks"),
        "bits instead of nats",
    ),
    Fault("an overflow", faults.loss(faults.overflowing), ("extreme_logits_do_not_overflow",), "an overflow"),
    # gradients
    Fault(
        "the gradient of the sum",
        faults.returned_gradients(
            lambda right, symbols: {name: array * symbols.size for name, array in right.items()}
        ),
        ("gradients_of_one_layer", "gradients_with_masks", "one_step"),
        "the gradient of the sum over batch and time",
    ),
    Fault(
        "the gradient of a sum over the batch",
        faults.returned_gradients(
            lambda right, symbols: {name: array * len(symbols) for name, array in right.items()}
        ),
        ("gradients_are_of_the_mean_loss", "gradients_of_slices_add_up"),
    ),
    Fault(
        "the bias gradient doubled",
        faults.returned_gradients(
            lambda right, symbols: faults.changed_biases(right, lambda gradient: 2 * gradient)
        ),
        ("gradients_with_state", "gradients_of_a_single_symbol", "one_step"),
        "a doubled bias: its gradient is doubled",
    ),
    Fault(
        "gradients as i, o, f, g",
        faults.returned_gradients(lambda right, symbols: faults.reordered(right, (0, 3, 1, 2))),
        ("gradients_of_one_layer",),
        "the wrong gate order in the gradients: i, o, f, g (ONNX's)",
    ),
    Fault(
        "masks missing from the backward pass",
        faults.gradients(faults.masks_not_on_the_way_back),
        ("gradients_with_masks",),
        "masks that are ignored",
    ),
    Fault(
        "masks missing from the backward pass of the LSTM",
        faults.lstm_class(faults.MasksForwardOnly),
        ("gradients_with_masks",),
        "masks missing from the backward pass",
    ),
    Fault(
        "weight_hh gradients from the hidden state of the same time step",
        faults.lstm_class(faults.SameHidden),
        ("gradients_of_one_layer", "gradients_with_state", "gradients_with_masks"),
        "a weight_hh gradient from the hidden state of the same time step",
    ),
    Fault(
        "the first hidden state left out",
        faults.lstm_class(faults.ForgetsFirstHidden),
        ("gradients_with_state",),
        "a weight_hh gradient that leaves out the initial state",
    ),
    Fault(
        "rows overwritten",
        faults.lstm_class(faults.OverwritesRows),
        ("gradients_of_a_single_sequence",),
        "a gather's gradient that overwrites",
    ),
    Fault(
        "gradient truncated at each symbol",
        faults.gradients(faults.cut_at_each_symbol),
        ("gradients_of_one_layer", "gradients_with_state"),
        "a gradient that stops at each symbol",
    ),
    Fault("hard sigmoids", faults.lstm(faults.hard_sigmoids), ("one_layer",), "a hard sigmoid"),
    Fault(
        "rare symbols shifted",
        faults.returned_gradients(
            lambda right, symbols: {
                name: np.roll(array, 1, axis=1) if array.ndim == 2 and array.shape[1] > 512 else array
                for name, array in right.items()
            }
        ),
        ("gradients_of_a_large_vocabulary",),
    ),
)
