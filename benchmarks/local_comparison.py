"""Comparisons of a right NumPy backend with a wrong one inside this process, for ``misses.py``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.subtle_mistakes import Make
from charkit.backend import Backend
from charkit_comparison import ComparisonReport, Variant
from charkit_comparison.agreement import step_errors
from charkit_comparison.comparison import run_comparison
from charkit_comparison.plan import Plan
from charkit_comparison.processes import worker
from charkit_comparison.processes.worker_process import WorkerFailedError, WorkerProcess
from charkit_comparison.starting_point import from_text

STEPS = 20
_MODEL = {"num_layers": 2, "lstm_size": 12}
_DATA = {"batch_size": 6, "num_steps": 20}
#: Settings under which mistakes are planted. Together they use everything that a backend is asked for.
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "plain": {"model": _MODEL, "data": _DATA, "optimizer": {"learning_rate": 0.01}},
    "dropout, clipping": {
        "model": {**_MODEL, "dropout": 0.3},
        "data": _DATA,
        "optimizer": {"learning_rate": 0.01, "grad_clip": 0.2},
    },
    "other betas and epsilon": {
        "model": _MODEL,
        "data": _DATA,
        "optimizer": {"learning_rate": 0.01, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-4},
    },
    "weight decay, schedule": {
        "model": _MODEL,
        "data": _DATA,
        "optimizer": {"learning_rate": 0.01, "weight_decay": 0.1},
        "training": {"schedule": "cosine", "warmup_steps": 5},
    },
    "long sequences": {
        "model": {"num_layers": 1, "lstm_size": 12},
        "data": {"batch_size": 2, "num_steps": 150},
        "optimizer": {"learning_rate": 0.02, "grad_clip": 0.0},
    },
}


class LocalWorker(WorkerProcess):
    """Carries out a worker's requests in this process."""

    makers: ClassVar[dict[str, Make]] = {}

    def __init__(self, variant: Variant, plan: Plan, steps: int | None = None, *, control: int = 0) -> None:
        self.backend = variant.backend
        self._worker: worker.VariantWorker | None = None
        self.configure(variant, plan, steps, control=control)

    def request(self, action: str, **details: Any) -> dict[str, Any]:
        """Carries the request out; whatever the backend raises is the worker's failure."""
        try:
            if action == "prepare":
                self._worker = worker.VariantWorker({"action": action, **details})
            return dict(getattr(self._worker, action)(details))
        except (Exception, SystemExit) as error:  # whatever a framework raises is the participant's failure
            raise WorkerFailedError(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """There is no process to end."""
        self._worker = None


def install() -> None:
    """Has workers of this process make the backends of the comparison, and name no mistake, which takes long."""
    worker.plugins.create = create_backend  # type: ignore[assignment]
    step_errors.diagnose = lambda *_, **__: ""


def create_backend(
    name: str, *, precision: str, device: str | None, threads: int | None, **_: Any
) -> Backend[Any]:
    """Stands for ``plugins.create``: the right backend, or the one with the mistake."""
    return LocalWorker.makers[name](precision=precision, device=device or "cpu", threads=threads)


def compare_locally(
    right: Make, wrong: Make, setting: dict[str, dict[str, Any]], text: Path, *, steps: int = STEPS
) -> ComparisonReport:
    """The comparison of a right backend with a wrong one."""
    LocalWorker.makers = {"right": right, "wrong": wrong}
    settings = {**setting, "data": {**setting["data"], "text": (str(text),)}}
    with ExitStack() as hold, tempfile.TemporaryDirectory(prefix="charkit-misses-") as folder:
        start = from_text(settings, hold)
        plan = Plan(start.spec.config, steps=steps, rounds=1, threads=1, folder=Path(folder))
        variants = [Variant("right", "right"), Variant("wrong", "wrong")]
        return run_comparison(plan, variants, start, start_worker=LocalWorker)


def record(what: str, setting: str, report: ComparisonReport) -> dict[str, Any]:
    """What is kept of a comparison."""
    right, wrong = report.variants
    same = right.losses == wrong.losses and all(pair.weights_difference == 0 for pair in report.pairs)
    refused = "needs the capability" in wrong.reason  # a setting that the backend does not claim to have
    failed = wrong.status == "failed" and wrong.not_finite_at is None and not refused
    shares = [one.largest_share_of_bound or 0.0 for one in report.examinations]
    times = [pair.times_the_control or 0.0 for pair in report.pairs]
    within_rounding = max(shares, default=0.0) < 0.2 and max(times, default=0.0) < 1.0
    located = [finding for finding in report.findings if finding.step is not None]
    return {
        "mistake": what,
        "setting": setting,
        "effect": not refused and (failed or wrong.status != "done" or not (same or within_rounding)),
        "found": not refused and (failed or not report.agree),
        "accused": sorted({finding.variant for finding in located}),
        "array": located[0].array if located else "",
        "share_of_bound": max(
            (one.largest_share_of_bound or 0.0 for one in report.examinations), default=0.0
        ),
        "times_the_control": max((pair.times_the_control or 0.0 for pair in report.pairs), default=None),
        "verdict": report.verdict,
    }


def refuse_false_alarms(records: Iterable[dict[str, Any]]) -> None:
    """Ends the program if the right backend, compared with itself, is recorded as wrong: then any find may be false."""
    for one in records:
        if one["found"]:
            where = f" under the setting {one['setting']!r}" if one["setting"] else ""
            raise SystemExit(
                f"the right backend is found to be wrong when it is compared with itself{where}, so no mistake was "
                f"planted: {one['verdict'] or one['array']}"
            )


def make_text(folder: Path) -> Path:
    """A text with enough different symbols, made up."""
    rng = np.random.default_rng(5)
    words = [
        "".join(chr(97 + int(one)) for one in rng.integers(0, 26, int(size)))
        for size in rng.integers(2, 9, 300)
    ]
    chosen = (words[int(index)] for index in (rng.zipf(1.3, 4000) - 1) % 300)
    path = folder / "made-up.txt"
    path.write_text(" ".join(chosen), "utf-8")
    return path
