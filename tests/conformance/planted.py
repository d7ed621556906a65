"""The planted faults, and which checks must fail on each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from charkit_numpy.backend import NumpyBackend
from conformance import (
    backend_faults,
    caching_faults,
    capability_faults,
    declaration_faults,
    everyday_faults,
    faults,
    limit_faults,
    optimizer_faults,
    reach_faults,
    returned_value_faults,
    reuse_faults,
    robustness_faults,
    side_effect_faults,
)


@dataclass(frozen=True)
class Fault:
    """A planted fault, the checks that must fail on it, and what the failure must call it."""

    what: str
    backend: type[NumpyBackend]
    fails: tuple[str, ...]
    named: str = ""


def _state_zeroed(inner: Any, model: Any, *arguments: Any) -> Any:
    return faults.state_of(inner(*arguments), faults.zeros)


FAULTS = (
    # import and build
    Fault("another name", backend_faults.OtherName, ("class_is_complete",)),
    Fault("no devices", backend_faults.NoDevices, ("precisions_and_devices_are_declared",)),
    Fault("unknown precisions", backend_faults.OddPrecisions, ("precisions_and_devices_are_declared",)),
    Fault("no versions", backend_faults.NoVersions, ("versions_are_reported",)),
    Fault("no loss", backend_faults.NoLoss, ("parts_are_built",)),
    Fault("precision not kept", backend_faults.ForgetsPrecision, ("settings_are_kept",)),
    Fault("transposed arrays", backend_faults.Transposing, ("weights_out_equal_weights_in",)),
    Fault("everything floating", backend_faults.AllFloating, ("arrays_keep_type_and_shape",)),
    Fault("arrays shared on the way in", backend_faults.NotCopyingIn, ("arrays_in_are_copies",)),
    Fault(
        "arrays shared on the way out",
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
            "two_layers",
            "state_is_carried",
            "nats_of_each_symbol",
            "other_weights_give_other_logits",
        ),
        "a swapped gate order: weights read as i, g, f, o (TF1's)",
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
        "forget bias at run time",
        faults.lstm(
            lambda inner, model, weights, *rest: inner(
                faults.changed_biases(weights, faults.plus_one_on_forget), *rest
            )
        ),
        ("two_layers",),
        "a forget bias of 1",
    ),
    Fault("float32 inside", faults.lstm(faults.in_float32), ("one_layer",), "float32 arithmetic"),
    Fault(
        "the state that goes in is dropped",
        faults.lstm(
            lambda inner, model, weights, symbols, state, masks: inner(
                weights, symbols, faults.zeros(state), masks
            )
        ),
        ("state_is_carried", "nats_of_each_symbol", "gradients_with_state"),
        "a dropped state",
    ),
    Fault(
        "the state that comes out is zero",
        faults.lstm(_state_zeroed),
        ("state_is_carried", "losses_of_ten_steps", "weights_after_ten_steps"),
        "a dropped state",
    ),
    Fault(
        "the state is lost from step to step",
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
        "swapped layers of the state",
    ),
    Fault("a batch of one squeezed", faults.lstm(faults.squeezing), ("batch_of_one_and_single_step",)),
    Fault("sequences mixed", faults.lstm(faults.mixing_sequences), ("slices_of_a_batch",)),
    Fault("weights kept", faults.lstm_class(faults.StaleLstm), ("other_weights_give_other_logits",)),
    Fault("state written to", faults.lstm(faults.writing_to_state), ("state_is_not_consumed",)),
    Fault("state in a buffer", faults.keeping_state_in_a_buffer(), ("evaluation_does_not_affect_training",)),
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
    Fault("bfloat16 in name", backend_faults.BfloatInName, ("bfloat16_is_not_float32",)),
    # loss
    Fault(
        "bits",
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
        "a swapped gate order of the gradients: i, o, f, g (ONNX's)",
    ),
    Fault(
        "masks not on the way back",
        faults.gradients(faults.masks_not_on_the_way_back),
        ("gradients_with_masks",),
        "masks that are ignored",
    ),
    Fault(
        "masks not on the LSTM's way back",
        faults.lstm_class(faults.MasksForwardOnly),
        ("gradients_with_masks",),
        "masks missing from the backward pass",
    ),
    Fault(
        "the hidden output of the same symbol",
        faults.lstm_class(faults.SameHidden),
        ("gradients_of_one_layer", "gradients_with_state", "gradients_with_masks"),
        "a weight_hh gradient from the hidden output of the same symbol",
    ),
    Fault(
        "the first hidden state left out",
        faults.lstm_class(faults.ForgetsFirstHidden),
        ("gradients_with_state",),
        "a weight_hh gradient that leaves out the first state",
    ),
    Fault(
        "rows overwritten",
        faults.lstm_class(faults.OverwritesRows),
        ("gradients_of_a_single_sequence",),
        "a gather's gradient that overwrites",
    ),
    Fault(
        "cut at each symbol",
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
    # optimizer
    Fault(
        "no clip",
        faults.optimizer(optimizer_faults.NotClipping),
        ("clip_bounds_the_global_norm",),
        "a missing clip",
    ),
    Fault(
        "a clip with an epsilon",
        faults.optimizer(optimizer_faults.ClippingWithEpsilon),
        ("clip_is_exact_for_small_norms",),
        "a clip with an epsilon",
    ),
    Fault(
        "a clip per array",
        faults.optimizer(optimizer_faults.ClippingPerArray),
        ("clip_bounds_the_global_norm",),
        "a clip per array",
    ),
    Fault(
        "small gradients enlarged",
        faults.optimizer(optimizer_faults.AlwaysScaling),
        ("small_gradients_are_not_scaled",),
        "a clip that also enlarges small gradients",
    ),
    Fault(
        "a bound of zero",
        faults.optimizer(optimizer_faults.ZeroIsABound),
        ("grad_clip_zero_is_off",),
        "grad_clip 0 read as a bound of zero",
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
        "Keras' epsilon",
        faults.optimizer(optimizer_faults.KerasEpsilon),
        ("epsilon_is_outside_the_root", "weights_after_ten_steps"),
        "Adam's epsilon inside the bias correction, and 1e-7",
    ),
    Fault(
        "an epsilon of 1e-7",
        faults.optimizer(optimizer_faults.LargeEpsilon),
        ("epsilon_is_outside_the_root", "weights_after_ten_steps"),
        "Adam's epsilon of 1e-7",
    ),
    Fault(
        "no bias corrections",
        faults.optimizer(optimizer_faults.NotCorrecting),
        ("first_step_of_adam", "ten_steps_of_adam"),
        "missing bias corrections",
    ),
    Fault(
        "a step count of its own",
        faults.optimizer(optimizer_faults.CountingItself),
        ("bias_corrections_come_from_the_rates",),
        "a separate step count of the optimizer",
    ),
    Fault(
        "a learning rate of its own",
        faults.optimizer(optimizer_faults.OwnLearningRate),
        ("learning_rate_follows_the_schedule",),
        "the configuration's learning rate",
    ),
    Fault(
        "a second trainable bias",
        faults.optimizer(optimizer_faults.MovingBiasesTwice),
        ("first_step_of_adam", "weights_after_ten_steps"),
        "a second trainable bias moves it twice",
    ),
    Fault(
        "a norm of zero",
        faults.optimizer(optimizer_faults.DividingByTheNorm),
        ("zero_gradients_change_no_weights",),
    ),
    Fault(
        "the same dictionary",
        faults.optimizer(optimizer_faults.SameDictionary),
        ("returned_weights_are_a_new_dictionary",),
    ),
    # capabilities
    *(Fault(*fault) for fault in capability_faults.FAULTS),
    # what a backend says of itself, what it returns, and what shows only beyond small cases
    *(
        Fault(*fault)
        for fault in (*declaration_faults.FAULTS, *returned_value_faults.FAULTS, *reach_faults.FAULTS)
    ),
    # training
    Fault("a hidden nan", faults.optimizer(optimizer_faults.HidingNan), ("not_finite_is_reported",)),
    Fault("a schedule of its own", faults.optimizer(optimizer_faults.WarmingUp), ("resuming_is_bit_exact",)),
    Fault("no learning", faults.optimizer(optimizer_faults.NotMoving), ("cycle_is_learned",)),
    Fault("another fused step", backend_faults.FusedDiffers, ("fused_step_equals_two_calls",)),
    Fault("a global precision", backend_faults.GlobalPrecision, ("precisions_work_side_by_side",)),
    Fault("a setting of one thread", backend_faults.MainThreadOnly, ("works_in_another_thread",)),
    # robustness, surroundings, and what shows in everyday use
    *(Fault(*fault) for fault in robustness_faults.FAULTS),
    *(Fault(*fault) for fault in side_effect_faults.FAULTS),
    *(Fault(*fault) for fault in (*everyday_faults.FAULTS, *caching_faults.FAULTS, *reuse_faults.FAULTS)),
    *(Fault(*fault) for fault in limit_faults.FAULTS),
)
#: Checks whose faults need more than a class, and the fault; each has a test of its own beside this file.
APART = {
    "plugin_is_found": "an unknown name",
    "plugin_module_is_light": "a plugin module that imports a framework",
    "gradients_change_nothing": "gradients that change the weights",
    "devices_can_be_used": "a device that does not exist",
    "user_defaults_do_not_matter": "the type of a framework's own default",
    "results_do_not_depend_on_the_hash_seed": "a norm summed in the order of a set",
    "process_settings_are_unchanged": "settings of the process that are changed",
    "threads_are_reported_correctly": "threads that are ignored, or reported wrongly",
    "running_out_of_memory_raises_memory_error": "an error of the framework's own where memory runs out",
}
