"""Rules on names: one weight, gate, layer, setting, axis or type in place of another."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mutation.rules.registry import Site, changed, rule

_GATES = "ifgo"
#: What is easily taken for each other, swapped where both stand in a function.
_PAIRS = (
    ("h", "c"),
    ("hidden", "cell"),
    ("hiddens", "cells"),
    ("hidden_before", "cell_before"),
    ("last_hidden", "last_cell"),
    ("w_ih", "w_hh"),
    ("inputs", "recurrent"),
    ("back_inputs", "back_recurrent"),
    ("m", "v"),
    ("mean", "square"),
    ("means", "squares"),
    ("exp_avg", "exp_avg_sq"),
    ("beta1", "beta2"),
    ("bias_correction1", "bias_correction2"),
    ("symbols", "targets"),
    ("weight", "gradient"),
    ("weights", "gradients"),
    ("clipped", "gradient"),
    ("g", "gradient"),
    ("features", "hidden"),
    ("before", "after"),
    ("start", "stop"),
    ("batch", "time"),
    ("first", "second"),
    ("left", "right"),
    ("cell", "after"),
    ("cell", "tanh_cell"),
    ("cells", "tanh_cells"),
    ("gates", "deltas"),
    ("into_cell", "forget"),
    ("state", "after"),
)
_OTHERS: dict[str, list[str]] = {}
for _one, _two in _PAIRS:
    _OTHERS.setdefault(_one, []).append(_two)
    _OTHERS.setdefault(_two, []).append(_one)

#: Attributes that stand beside each other in one object.
_ATTRIBUTES = {
    one: other
    for pair in (
        ("hidden", "cell"),
        ("exp_avg", "exp_avg_sq"),
        ("beta1", "beta2"),
        ("bias_correction1", "bias_correction2"),
        ("inputs", "recurrent"),
        ("back_inputs", "back_recurrent"),
        ("cells", "tanh_cells"),
        ("gates", "cells"),
    )
    for one, other in (pair, pair[::-1])
}
_WEIGHTS = {"weight_ih": "weight_hh", "weight_hh": "weight_ih", "output.weight": "output.bias"}
#: Settings, and what a backend would write that ignores them: the configuration's defaults.
_SETTINGS: dict[str, tuple[object, ...]] = {
    "beta1": (0.9,),
    "beta2": (0.999,),
    "epsilon": (1e-8,),
    "clip_threshold": (5.0,),
    "weight_decay": (0.0,),
    "dropout": (0.0, 0.5),
    "lstm_size": (128,),
    "num_layers": (2, 1),
    "threads": (None, 1),
    "device": ("cpu",),
    "precision": ("float32",),
    "consumes": ((),),
    "masks": (None,),
}
_TYPES = {
    "float32": ("float64",),
    "float64": ("float32",),
    "bfloat16": ("float32",),
    "int32": ("uint8",),
    "int64": ("uint8",),
}


@rule("gates")
def gate(site: Site) -> Iterator[ast.AST]:
    """In functions that use all four gates, a gate's name becomes that of another gate."""
    match site.node:
        case ast.Name(id=name, ctx=ast.Load()) as node if (
            len(name) == 1 and name in _GATES and set(_GATES) <= site.names
        ):
            for other in _GATES.replace(name, ""):
                yield changed(node, id=other)
        case ast.Tuple(elts=elements, ctx=ast.Store()) as node if len(elements) > 1:
            for place in range(len(elements) - 1):
                yield changed(node, elts=_swapped(elements, place))


@rule("names")
def name(site: Site) -> Iterator[ast.AST]:
    """A name or an attribute becomes a similar one: ``hidden`` becomes ``cell``."""
    match site.node:
        case ast.Name(id=one, ctx=ast.Load()) as node:
            for other in _OTHERS.get(one, []):
                if other in site.names:
                    yield changed(node, id=other)
        case ast.Attribute(attr=one, ctx=ast.Load()) as node:
            if one in _ATTRIBUTES:
                yield changed(node, attr=_ATTRIBUTES[one])


@rule("weights")
def weight(site: Site) -> Iterator[ast.AST]:
    """The name of a weight is replaced by that of another weight, or a layer's number by that of the first layer."""
    match site.node:
        case ast.Constant(value=str(text)) as node:
            for one, other in _WEIGHTS.items():
                if one in text:
                    yield changed(node, value=text.replace(one, other))
        case ast.FormattedValue(value=ast.Name(id="layer" | "index")) as node:
            yield changed(node, value=ast.Constant(0))


@rule("settings")
def setting(site: Site) -> Iterator[ast.AST]:
    """A setting becomes a default: ``config.beta1`` becomes 0.9, and ``threads`` becomes None."""
    match site.node:
        case ast.Attribute(attr=one, ctx=ast.Load()) | ast.Name(id=one, ctx=ast.Load()):
            for value in _SETTINGS.get(one, ()):
                yield ast.Tuple([], ast.Load()) if value == () else ast.Constant(value)  # type: ignore[arg-type]


@rule("axes")
def axis(site: Site) -> Iterator[ast.AST]:
    """An axis becomes a different one: ``axis=1`` becomes ``axis=0``."""
    match site.node:
        case ast.keyword(arg="axis" | "dim", value=ast.Constant(value=int(value))) as node:
            for other in range(3):
                if other != value:
                    yield changed(node, value=ast.Constant(other))


@rule("types")
def dtype(site: Site) -> Iterator[ast.AST]:
    """A type becomes a different one: float32 becomes float64, and int32 becomes uint8."""
    match site.node:
        case ast.Attribute(attr=one) as node if one in _TYPES:
            for other in _TYPES[one]:
                yield changed(node, attr=other)
        case ast.Constant(value=str(one)) as node if one in _TYPES:
            for other in _TYPES[one]:
                yield changed(node, value=other)
        case ast.Attribute(attr="_dtype", ctx=ast.Load()) as node:
            yield changed(node, attr="_operands")
        case ast.Attribute(attr="_operands", ctx=ast.Load()) as node:
            yield changed(node, attr="_dtype")
        case ast.Call(func=ast.Attribute(attr="long", value=value), args=[]) as node:
            yield changed(node, func=ast.Attribute(value, "byte", ast.Load()))
        case ast.Attribute(value=ast.Name(id="array" | "targets"), attr="dtype", ctx=ast.Load()):
            yield ast.Constant("uint8")


def _swapped(elements: list[ast.expr], place: int) -> list[ast.expr]:
    return [*elements[:place], elements[place + 1], elements[place], *elements[place + 2 :]]
