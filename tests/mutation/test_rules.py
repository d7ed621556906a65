"""Each rule makes the changes that it says, and nothing else."""

from __future__ import annotations

import pytest

from mutation.mutants import mutants_of
from mutation.rules.all_rules import RULES

#: Kind, a statement or two, and what this kind of rules makes of it: before -> after of each mutant.
CASES: tuple[tuple[str, str, list[str]], ...] = (
    ("operators", "y = a + b", ["y = a + b -> y = a - b"]),
    ("operators", "y = a @ b", ["y = a @ b -> y = a * b"]),
    ("operators", "y += a", ["y += a -> y -= a", "y += a -> y = a"]),
    ("operands", "y = 1 - x", ["y = 1 - x -> y = 1", "y = 1 - x -> y = x"]),
    ("comparisons", "y = a < b", ["y = a < b -> y = a <= b", "y = a < b -> y = a > b"]),
    ("comparisons", "y = a is None", ["y = a is None -> y = a is not None"]),
    ("signs", "y = -f(x)", ["y = -f(x) -> y = f(x)"]),
    ("signs", "y = a * b", ["y = a * b -> y = -(a * b)"]),
    ("functions", "np.add(a, b, out=c)", ["np.add(a, b, out=c) -> np.subtract(a, b, out=c)"]),
    ("functions", "y = min(a, b)", ["y = min(a, b) -> y = max(a, b)"]),
    ("nonlinearities", "y = x.tanh()", ["y = x.tanh() -> y = x.sigmoid()"]),
    ("nonlinearities", "y = np.tanh(x)", ["y = np.tanh(x) -> y = 0.5 * np.tanh(x) + 0.5"]),
    (
        "nonlinearities",
        "np.tanh(x, out=y)",
        ["np.tanh(x, out=y) -> np.copyto(y, 0.5 * np.tanh(x) + 0.5)"],
    ),
    ("constants", "y = 1", ["y = 1 -> y = 2", "y = 1 -> y = 0"]),
    ("constants", "y = 0.5", ["y = 0.5 -> y = 1.0", "y = 0.5 -> y = 0.25"]),
    ("constants", "y = 1e-08", ["y = 1e-08 -> y = 1e-07"]),
    ("constants", "f(x, True)", ["f(x, True) -> f(x, False)"]),
    (
        "slices",
        "y = x[1:n]",
        [
            "y = x[1:n] -> y = x[2:n]",
            "y = x[1:n] -> y = x[1:n - 1]",
            "y = x[1:n] -> y = x[:n]",
            "y = x[1:n] -> y = x[1:n + 1]",
        ],
    ),
    ("slices", "y = x[:]", ["y = x[:] -> y = x[1:]", "y = x[:] -> y = x[:-1]"]),
    ("slices", "y = slice(a, None)", ["y = slice(a, None) -> y = slice(a + 1, None)"]),
    ("indices", "y = x[t]", ["y = x[t] -> y = x[t - 1]", "y = x[t] -> y = x[t + 1]"]),
    ("indices", "y = x[name]", []),
    ("indices", "y = x[:, t]", ["y = x[:, t] -> y = x[:, t - 1]", "y = x[:, t] -> y = x[:, t + 1]"]),
    (
        "ranges",
        "y = range(n)",
        [
            "y = range(n) -> y = range(1, n)",
            "y = range(n) -> y = range(n - 1)",
            "y = range(n) -> y = range(n + 1)",
        ],
    ),
    (
        "ranges",
        "y = range(a, 4)",
        [
            "y = range(a, 4) -> y = range(a + 1, 4)",
            "y = range(a, 4) -> y = range(a, 3)",
            "y = range(a, 4) -> y = range(a, 5)",
        ],
    ),
    (
        "gates",
        "i, f, g, o = z",
        [
            "i, f, g, o = z -> f, i, g, o = z",
            "i, f, g, o = z -> i, g, f, o = z",
            "i, f, g, o = z -> i, f, o, g = z",
        ],
    ),
    ("names", "h = c = 0\ny = h", ["y = h -> y = c"]),
    ("names", "y = h", []),  # there is no c that it could be taken for
    ("names", "y = state.hidden", ["y = state.hidden -> y = state.cell"]),
    ("weights", "y = w['weight_ih']", ["y = w['weight_ih'] -> y = w['weight_hh']"]),
    ("weights", "y = w[f'lstm.{layer}.bias']", ["y = w[f'lstm.{layer}.bias'] -> y = w[f'lstm.{0}.bias']"]),
    ("settings", "y = config.beta1", ["y = config.beta1 -> y = 0.9"]),
    ("settings", "f(threads)", ["f(threads) -> f(None)", "f(threads) -> f(1)"]),
    (
        "axes",
        "y = x.max(axis=1)",
        ["y = x.max(axis=1) -> y = x.max(axis=0)", "y = x.max(axis=1) -> y = x.max(axis=2)"],
    ),
    ("types", "y = np.float32", ["y = np.float32 -> y = np.float64"]),
    ("types", "y = x.long()", ["y = x.long() -> y = x.byte()"]),
    ("unwrapped", "y = x.detach()", ["y = x.detach() -> y = x"]),
    ("unwrapped", "y = np.array(x)", ["y = np.array(x) -> y = x"]),
    ("unwrapped", "y = x.T", ["y = x.T -> y = x"]),
    ("arguments", "f(a, b)", ["f(a, b) -> f(b, a)"]),
    ("arguments", "np.add(a, b, c)", ["np.add(a, b, c) -> np.add(a, c, b)"]),  # a and b may be swapped
    ("arguments", "f(a, axis=1)", ["f(a, axis=1) -> f(a)"]),
    ("permutations", "y = (1, 0)", ["y = (1, 0) -> y = (0, 1)"]),
    ("statements", "f()\ny = 1", ["f() -> pass"]),
    ("statements", "y += 1", ["y += 1 -> pass"]),
    ("statements", "x[0] = 1", ["x[0] = 1 -> pass"]),
    ("statements", "def f(x):\n    x = x * 2\n    y = x", ["x = x * 2 -> pass"]),  # y is set nowhere before
    ("contexts", "with lock:\n    f()", ["with lock: -> if True:"]),
    (
        "conditions",
        "while a:\n    f()",
        ["while a: -> while not a:", "while a: -> while True:", "while a: -> while False:"],
    ),
    ("logic", "y = a and b", ["y = a and b -> y = a or b", "y = a and b -> y = b", "y = a and b -> y = a"]),
    ("logic", "y = not a", ["y = not a -> y = a"]),
    ("results", "def f():\n    return a, b", ["return (a, b) -> return (b, a)"]),
)


@pytest.mark.parametrize(("kind", "source", "wanted"), CASES)
def test_a_rule_makes_these(kind: str, source: str, wanted: list[str]) -> None:
    made = [f"{one.before} -> {one.after}" for one in mutants_of("b", "f.py", source) if one.rule == kind]
    assert sorted(made) == sorted(wanted)


def test_every_kind_has_a_case() -> None:
    assert {kind for kind, _, wanted in CASES if wanted} == set(RULES)


def test_every_rule_says_what_it_does() -> None:
    assert all(rule.__doc__ for rules in RULES.values() for rule in rules)
