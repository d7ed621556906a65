"""Rules on operators: arithmetic, comparisons, signs, and functions that stand for operators."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mutation.rules.registry import Site, changed, rule

_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.MatMult: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
#: Functions and methods that are swapped: those of NumPy and PyTorch that do what operators do, too.
_FUNCTIONS = {
    "add": "subtract",
    "subtract": "add",
    "multiply": "divide",
    "divide": "multiply",
    "min": "max",
    "max": "min",
    "minimum": "maximum",
    "maximum": "minimum",
    "sum": "mean",
    "mean": "sum",
    "zeros": "ones",
    "ones": "zeros",
    "zeros_like": "ones_like",
    "sqrt": "square",
    "square": "abs",
    "exp": "tanh",
    "any": "all",
    "all": "any",
    "stack": "concatenate",
    "_foreach_lerp_": "_foreach_add_",
    "_foreach_mul": "_foreach_div",
    "_foreach_div": "_foreach_mul",
    "_foreach_mul_": "_foreach_div_",
    "_foreach_div_": "_foreach_mul_",
    "_foreach_add_": "_foreach_sub_",
    "_foreach_sub_": "_foreach_add_",
    "_foreach_sqrt_": "_foreach_abs_",
    "_foreach_addcmul_": "_foreach_addcdiv_",
}
_GATES = {"tanh": "sigmoid", "sigmoid": "tanh", "_sigmoid": "tanh"}


@rule("operators")
def operator(site: Site) -> Iterator[ast.AST]:
    """``a + b`` becomes ``a - b``, ``a * b`` becomes ``a / b``, and so on; ``a += b`` also becomes ``a = b``."""
    node = site.node
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        yield changed(node, op=_OPERATORS[type(node.op)]())
    if isinstance(node, ast.AugAssign) and type(node.op) in _OPERATORS:
        yield changed(node, op=_OPERATORS[type(node.op)]())
        yield ast.Assign([node.target], node.value, lineno=node.lineno)


@rule("operands")
def operand(site: Site) -> Iterator[ast.AST]:
    """Only one side of an operation is kept: ``1 - x`` becomes ``x``, and ``a * b`` becomes ``a`` or ``b``."""
    match site.node:
        case ast.BinOp(left=left, right=right):
            yield left
            yield right


@rule("comparisons")
def comparison(site: Site) -> Iterator[ast.AST]:
    """``<`` becomes ``<=`` or ``>``, ``==`` becomes ``!=``, ``is`` becomes ``is not``, ``in`` becomes ``not in``."""
    match site.node:
        case ast.Compare(ops=[op]) as node:
            for other in _COMPARISONS.get(type(op), ()):
                yield changed(node, ops=[other()])


@rule("signs")
def sign(site: Site) -> Iterator[ast.AST]:
    """``-x`` becomes ``x``, and an operation that is assigned or returned is negated."""
    match site.node, site.parent:
        case ast.UnaryOp(op=ast.USub(), operand=operand), _:
            yield operand
        case ast.BinOp() as node, ast.Assign() | ast.Return():
            yield ast.UnaryOp(ast.USub(), node)


@rule("functions")
def function(site: Site) -> Iterator[ast.AST]:
    """``np.add`` becomes ``np.subtract``, ``min`` becomes ``max``, ``sqrt`` becomes ``square``, and so on."""
    yield from _renamed(site, _FUNCTIONS)


@rule("nonlinearities")
def nonlinearity(site: Site) -> Iterator[ast.AST]:
    """``tanh`` becomes the sigmoid and vice versa; in NumPy and JAX, ``tanh(x)`` becomes ``0.5 * tanh(x) + 0.5``."""
    match site.node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="np" | "jnp"), attr="tanh")) as node:
            half = ast.BinOp(ast.Constant(0.5), ast.Mult(), changed(node, keywords=[]))
            shifted = ast.BinOp(half, ast.Add(), ast.Constant(0.5))
            out = next((one.value for one in node.keywords if one.arg == "out"), None)
            copy = ast.Attribute(ast.Name("np", ast.Load()), "copyto", ast.Load())
            yield shifted if out is None else ast.Call(copy, [out, shifted], [])
        case _:
            yield from _renamed(site, _GATES)


def _renamed(site: Site, names: dict[str, str]) -> Iterator[ast.AST]:
    match site.node:
        case ast.Call(func=ast.Attribute(attr=name)) as node if name in names:
            yield changed(node, func=changed(node.func, attr=names[name]))
        case ast.Call(func=ast.Name(id=name)) as node if name in names:
            yield changed(node, func=changed(node.func, id=names[name]))
