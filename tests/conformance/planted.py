"""All planted faults, and the checks that must fail on each."""

from __future__ import annotations

from conformance import (
    address_faults,
    backend_faults,
    bfloat16_faults,
    caching_faults,
    capability_faults,
    declaration_faults,
    earlier_call_faults,
    everyday_faults,
    failed_call_faults,
    faults,
    layout_faults,
    leak_faults,
    limit_faults,
    optimizer_faults,
    overlap_faults,
    planted_in_network,
    planted_in_optimizer,
    reach_faults,
    result_faults,
    returned_value_faults,
    reuse_faults,
    robustness_faults,
    separate_path_faults,
    shard_faults,
    side_effect_faults,
)
from conformance.planted_fault import Fault

FAULTS = (
    *planted_in_network.FAULTS,
    *planted_in_optimizer.FAULTS,
    # capabilities
    *(Fault(*fault) for fault in capability_faults.FAULTS),
    # declarations, returned values, and what shows only beyond small cases
    *(
        Fault(*fault)
        for fault in (*declaration_faults.FAULTS, *returned_value_faults.FAULTS, *reach_faults.FAULTS)
    ),
    # training
    Fault("NaN replaced by zero", faults.optimizer(optimizer_faults.HidingNan), ("not_finite_is_reported",)),
    Fault(
        "a learning-rate schedule in the optimizer",
        faults.optimizer(optimizer_faults.WarmingUp),
        ("resuming_is_bit_exact",),
    ),
    Fault("updates not applied", faults.optimizer(optimizer_faults.NotMoving), ("cycle_is_learned",)),
    Fault(
        "a fused step that gives different results",
        backend_faults.FusedDiffers,
        ("fused_step_equals_two_calls",),
    ),
    Fault("a global precision", backend_faults.GlobalPrecision, ("precisions_work_side_by_side",)),
    Fault(
        "a setting that applies only in the main thread",
        backend_faults.MainThreadOnly,
        ("works_in_another_thread",),
    ),
    Fault(
        "a setting that applies only in the thread that created the backend",
        backend_faults.SetInOneThread,
        ("works_in_another_thread",),
    ),
    Fault(
        "compiled functions that only one thread can call",
        backend_faults.CallableInOneThread,
        ("errors_propagate", "works_in_another_thread"),
    ),
    # robustness, side effects, caches and leaks
    *(Fault(*fault) for fault in (*robustness_faults.FAULTS, *failed_call_faults.FAULTS)),
    *(Fault(*fault) for fault in side_effect_faults.FAULTS),
    *(Fault(*fault) for fault in (*everyday_faults.FAULTS, *caching_faults.FAULTS, *shard_faults.FAULTS)),
    *(Fault(*fault) for fault in (*leak_faults.FAULTS, *reuse_faults.FAULTS)),
    *(Fault(*fault) for fault in result_faults.FAULTS),
    *(Fault(*fault) for fault in (*limit_faults.FAULTS, *separate_path_faults.FAULTS)),
    *(
        Fault(*fault)
        for fault in (
            *earlier_call_faults.FAULTS,
            *layout_faults.FAULTS,
            *address_faults.FAULTS,
            *bfloat16_faults.FAULTS,
            *overlap_faults.FAULTS,
        )
    ),
)
#: Checks whose faults need more than a class, with the fault; each has a separate test beside this file.
TESTED_SEPARATELY = {
    "plugin_is_found": "an unknown name",
    "plugin_module_is_light": "a plugin module that imports a framework",
    "gradients_change_nothing": "gradients that change the weights",
    "devices_can_be_used": "a device that does not exist",
    "user_defaults_do_not_matter": "the framework's default dtype",
    "results_do_not_depend_on_the_hash_seed": "a norm summed over a set",
    "process_settings_are_unchanged": "changed process settings",
    "float32_follows_another_precision": "an array kept by its size, not by its dtype",
    "versions_are_the_same_in_every_process": "versions that change from run to run",
    "threads_are_reported_correctly": "threads that are ignored or reported wrongly",
    "more_threads_compute_the_same": "a batch divided between all threads, with the results of only two of them used",
    "running_out_of_memory_raises_memory_error": "the framework's own error for exhausted memory",
    "errors_of_exhausted_memory_are_released": "the last error kept when memory ran out",
    "calls_work_once_memory_is_free": "training steps that are refused because they once ran out of memory",
    "threads_end_with_the_process": "a thread that waits for work forever",
    "threads_outlive_the_main_thread": "an executor that accepts no call after the main thread",
}
