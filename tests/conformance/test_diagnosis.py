"""A mistake is named only if it reproduces every array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from charkit.backend import Moments
from charkit.config import OptimizerConfig
from charkit.testing.cases import Case, gradients_of, make_case
from charkit.testing.diagnosis import diagnose
from charkit.testing.mistakes import families, gate_orders, mistakes
from charkit.testing.oracle import Floats, Ints, Oracle
from charkit.testing.reproduction import Reproduction
from charkit.testing.tolerances import BOUNDS, difference

CASE = make_case()


class Doubled(Oracle):
    """Sigmoids whose derivative is doubled."""

    def gate_slope(self, gate: Floats) -> Floats:
        return 2.0 * gate * (1.0 - gate)


class Bits(Oracle):
    def loss(self, logits: Floats, targets: Ints) -> Floats:
        return super().loss(logits, targets) / np.log(2.0)


def gradients(oracle: type[Oracle], case: Case = CASE) -> dict[str, Any]:
    return dict(oracle(case.model).gradients(case.weights, *case.batch))


def nats(oracle: type[Oracle], case: Case = CASE) -> dict[str, Any]:
    loss, state = oracle(case.model).nats(case.weights, *case.batch)
    return {"nats": loss, "hidden": state.hidden, "cell": state.cell}


def diagnosis(
    observed: Mapping[str, Any], compute: Any, precision: str = "float64", limit: float = 1e-10
) -> str:
    right = compute(Oracle)
    gaps = {name: difference(observed[name], right[name]) for name in right}
    return diagnose(observed, compute, gaps, precision=precision, limit=limit)


def noise(arrays: Mapping[str, Any], size: float) -> dict[str, Any]:
    random = np.random.default_rng(5)
    return {
        name: array + size * np.abs(array).max() * random.uniform(-1, 1, np.shape(array))
        for name, array in arrays.items()
    }


def test_the_right_numbers_get_no_name() -> None:
    assert diagnosis(gradients(Oracle), gradients) == ""


def test_a_mistake_is_named_with_its_place() -> None:
    text = diagnosis(gradients(Doubled), gradients)
    assert text.startswith("it looks like a doubled derivative of the sigmoid; see lstm.py, backward pass")


@pytest.mark.parametrize("name", ["lstm.0.weight_hh", "output.bias"])
def test_one_array_that_a_mistake_does_not_give_takes_its_name_away(name: str) -> None:
    observed = gradients(Doubled)
    observed[name] = observed[name] * 1.001
    assert diagnosis(observed, gradients) == ""


def test_an_array_of_another_shape_takes_the_name_away() -> None:
    """A mistake whose reproduction has other shapes than what observed proves nothing."""
    compute = lambda oracle: {"nats": nats(oracle)["nats"]}  # noqa: E731
    reproduction = Reproduction({"nats": compute(Bits)["nats"]}, compute, 1e-10)
    right = reproduction.arrays(Bits)
    assert reproduction.explains(reproduction.gap(right))
    assert reproduction.gap({"nats": right["nats"][:1]}) == np.inf
    assert reproduction.gap({}) == np.inf
    assert reproduction.gap({**right, "another": right["nats"]}) == np.inf


def test_under_a_loose_bound_the_mistake_must_be_far_nearer_than_the_right_numbers() -> None:
    """Numbers 11 % off, under bfloat16's bound of 10 %: a mistake that leaves 5 % is no explanation."""
    limit = BOUNDS["bfloat16"]["gradients"]
    observed = noise(gradients(Oracle), 0.12)
    assert max(difference(observed[name], array) for name, array in gradients(Oracle).items()) > limit
    assert diagnosis(observed, gradients, "bfloat16", limit) == ""


def test_under_a_loose_bound_a_mistake_is_named_through_the_rounding() -> None:
    limit = BOUNDS["bfloat16"]["gradients"]
    text = diagnosis(noise(gradients(Doubled), 0.01), gradients, "bfloat16", limit)
    assert text.startswith("it looks like a doubled derivative of the sigmoid; see")


def test_under_a_loose_bound_one_number_is_no_evidence() -> None:
    """One norm that a mistake happens to give within 10 % is a coincidence, and within 2e-5 it is not."""

    def norm(oracle: type[Oracle]) -> dict[str, Any]:
        judge = oracle(CASE.model)
        return {"norm": judge.norm(judge.gradients(CASE.weights, *CASE.batch))}

    assert diagnosis(norm(Doubled), norm, "bfloat16", BOUNDS["bfloat16"]["gradients"]) == ""
    assert "a doubled derivative of the sigmoid" in diagnosis(norm(Doubled), norm, "float32", 2e-5)


def test_mistakes_that_give_the_same_numbers_are_named_together() -> None:
    single = make_case(num_layers=1, masked=True)
    compute = lambda oracle: nats(oracle, single)  # noqa: E731

    class Unmasked(Oracle):
        def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
            return np.ones((1, *shape, self.model.lstm_size))

    text = diagnosis(compute(Unmasked), compute)
    together = "either no dropout on the last layer (as in torch.nn.LSTM) or masks that are ignored"
    assert text.startswith(f"it looks like {together}, which give the same numbers here; see lstm.py")


def test_arrays_that_are_not_finite_are_described_and_not_named() -> None:
    observed = nats(Oracle)
    observed["nats"] = np.array(observed["nats"])
    observed["nats"][0, 1:3] = np.nan
    assert diagnosis(observed, nats) == "not finite: 2 of 18 elements of nats"
    observed["cell"] = observed["cell"] * np.inf
    assert diagnosis(observed, nats) == "not finite: 2 of 18 elements of nats, and some in 1 more array"


def test_float32_is_named_only_where_the_numbers_are_of_it() -> None:
    """An error of the size of float32's rounding is not float32: a decay of 1e-7 leaves one of that size."""
    narrow = {name: array.astype(np.float32).astype(np.float64) for name, array in nats(Oracle).items()}
    assert diagnosis(narrow, nats).startswith(
        "it looks like float32 arithmetic instead of float64: nats, hidden"
    )
    assert diagnosis(noise(nats(Oracle), 1e-7), nats) == ""


def test_float32_numbers_that_are_wrong_beyond_float32_are_not_called_float32() -> None:
    narrow = {
        name: array.astype(np.float32).astype(np.float64) for name, array in noise(nats(Oracle), 1e-3).items()
    }
    assert diagnosis(narrow, nats) == ""


def test_every_mistake_has_a_file_to_look_at() -> None:
    files = ("lstm.py", "output.py", "loss.py", "optimizer.py", "backend.py")
    for known in (*mistakes(), *gate_orders(), *families()):
        assert known.where.startswith(files), known.name
        assert "; see" not in known.name


def test_every_mistake_changes_something() -> None:
    """None is idle: each gives other numbers than the right ones on some batch or some update."""
    right = [compute(Oracle) for compute in KINDS]

    def is_idle(oracle: type[Oracle]) -> bool:
        with np.errstate(all="ignore"):
            made = (compute(oracle) for compute in KINDS)
            return all(
                np.array_equal(array, numbers[name])
                for numbers, arrays in zip(right, made, strict=True)
                for name, array in arrays.items()
            )

    assert [known.name for known in (*mistakes(), *gate_orders()) if is_idle(known.oracle)] == []


def _batch(case: Case) -> Any:
    def compute(oracle: type[Oracle]) -> dict[str, Any]:
        judge = oracle(case.model)
        first, rest = (
            judge.forward(case.weights, *case.batch[:1], *case.batch[2:]),
            judge.step(case.weights, *case.batch),
        )
        return {"logits": first.logits, "nats": rest.nats, "hidden": rest.state.hidden, **rest.gradients}

    return compute


def _updates(size: float, **settings: float) -> Any:
    """Three updates at rising rates, from weights that are not zero, beginning at step 5."""
    optimizer = OptimizerConfig(**settings)
    given = [gradients_of(CASE.model, 100 + 20 * step, size / (1 + step)) for step in range(3)]

    def compute(oracle: type[Oracle]) -> dict[str, Any]:
        judge, weights, norms = oracle(CASE.model, optimizer), CASE.weights, []
        zeros = {name: np.zeros(array.shape) for name, array in weights.items()}
        moments = Moments(zeros, zeros)
        for index, gradient in enumerate(given):
            weights, moments, norm = judge.update(weights, moments, gradient, 0.1 * (1 + index), 5 + index)
            norms.append(norm)
        squares = {f"square.{name}": array for name, array in moments.exp_avg_sq.items()}
        return {"norms": norms, **weights, **squares}

    return compute


MANY = make_case(vocabulary_size=600)
EXTREME = {"output.bias": np.linspace(-2000.0, 2000.0, 7)}
KINDS = (
    _batch(make_case(num_layers=3, masked=True)),
    _batch(make_case(lstm_size=7)),
    _batch(replace(MANY, symbols=MANY.symbols % 7 * 80, targets=MANY.targets % 7 * 80)),
    _batch(replace(CASE, weights=CASE.weights | EXTREME)),
    _updates(1.0, beta1=0.7, beta2=0.9, epsilon=1e-3, grad_clip=1.0),
    _updates(1.0, grad_clip=0.0, weight_decay=0.5),
    _updates(1e-3, grad_clip=0.1, weight_decay=0.5),
)
