"""Rules on statements and on what decides whether they run."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mutation.rules.registry import Site, changed, rule


@rule("statements")
def dropped(site: Site) -> Iterator[ast.AST]:
    """A statement is omitted: a call, an assignment to an element or attribute, or an in-place operation."""
    match site.node:
        case ast.Expr(value=ast.Call() | ast.Yield()) | ast.AugAssign() | ast.Delete() | ast.Raise():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.Assign(targets=[ast.Tuple(elts=[ast.Subscript(), *_])]):
            yield ast.Pass()
        case ast.Assign(targets=[ast.Name(id=name)]) if name in site.names and _is_set_before(site, name):
            yield ast.Pass()


def _is_set_before(site: Site, name: str) -> bool:
    """Whether the function has set the name before this statement, so that leaving it out is no NameError."""
    node = site.node
    assert isinstance(node, ast.Assign)
    around = next((one for one in reversed(site.parents) if isinstance(one, ast.FunctionDef)), None)
    if around is None:
        return False
    if name in {one.arg for one in around.args.args}:
        return True
    stores = (
        one
        for one in ast.walk(around)
        if isinstance(one, ast.Name) and one.id == name and isinstance(one.ctx, ast.Store)
    )
    return any(one.lineno < node.lineno for one in stores)


@rule("contexts")
def context(site: Site) -> Iterator[ast.AST]:
    """The body of a `with` statement runs without the `with` statement."""
    match site.node:
        case ast.With(items=[ast.withitem(optional_vars=None)], body=body):
            yield ast.If(ast.Constant(True), body, [])
        case ast.With(items=[_, _, *_] as items) as node:
            for place in range(len(items)):
                yield changed(node, items=items[:place] + items[place + 1 :])


@rule("conditions")
def condition(site: Site) -> Iterator[ast.AST]:
    """A condition is negated, or becomes always true or always false."""
    node = site.node
    held = (site.field == "test" and isinstance(site.parent, ast.If | ast.IfExp | ast.While)) or (
        site.field == "ifs" and isinstance(site.parent, ast.comprehension)
    )
    if held and isinstance(node, ast.expr) and not isinstance(node, ast.Constant):
        yield _not(node)
        yield ast.Constant(True)
        yield ast.Constant(False)


@rule("logic")
def logic(site: Site) -> Iterator[ast.AST]:
    """``and`` becomes ``or``, an operand is omitted, or ``not x`` becomes ``x``."""
    match site.node:
        case ast.BoolOp(op=op, values=values) as node:
            yield changed(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
            for place in range(len(values)):
                rest = values[:place] + values[place + 1 :]
                yield rest[0] if len(rest) == 1 else changed(node, values=rest)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand


@rule("results")
def result(site: Site) -> Iterator[ast.AST]:
    """Results are returned in a different order."""
    match site.node:
        case ast.Return(value=ast.Tuple(elts=elements) as value) as node if len(elements) > 1:
            for place in range(len(elements) - 1):
                order = [*elements[:place], elements[place + 1], elements[place], *elements[place + 2 :]]
                yield changed(node, value=changed(value, elts=order))


def _not(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return node.operand
    return ast.UnaryOp(ast.Not(), node)
