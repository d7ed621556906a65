"""The matrix product that every part uses: operands of one type, accumulation that is never rounded to less."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

#: Which axes of two matrices are multiplied and summed: columns with rows, columns with columns, rows with rows.
PLAIN, BY_COLUMNS, BY_ROWS = (1, 0), (1, 1), (0, 0)


def contract(left: jax.Array, right: jax.Array, axes: tuple[int, int], operands: np.dtype[Any]) -> jax.Array:
    """The product of two matrices over an axis of each, in float32 or, for float64 operands, float64.

    Both are rounded to the type of the operands first. float32 operands are not rounded further: a GPU
    would otherwise keep 10 bits of them (TF32), far outside the parity bound.
    """
    return lax.dot_general(
        left.astype(operands),
        right.astype(operands),
        (((axes[0],), (axes[1],)), ((), ())),
        # Never None, for which JAX takes what the user has set for all products.
        precision=lax.Precision.DEFAULT if operands == jnp.bfloat16 else lax.Precision.HIGHEST,
        preferred_element_type=np.promote_types(np.float32, operands)
        if operands != jnp.bfloat16
        else np.float32,
    )


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def product(operands: np.dtype[Any], axes: tuple[int, int], rows: jax.Array, matrix: jax.Array) -> jax.Array:
    """``rows (n, inputs)`` times ``matrix``, whose gradients are such products too.

    The matrix is ``(inputs, outputs)`` with PLAIN axes, and ``(outputs, inputs)`` with BY_COLUMNS. By JAX's own rules,
    the gradient would have the type of the operands, to which both are rounded.
    """
    return contract(rows, matrix, axes, operands)


def _forward(
    operands: np.dtype[Any], axes: tuple[int, int], rows: jax.Array, matrix: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return contract(rows, matrix, axes, operands), (rows, matrix)


def _backward(
    operands: np.dtype[Any], axes: tuple[int, int], kept: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    rows, matrix = kept
    of_matrix = contract(gradient, rows, BY_ROWS, operands)  # (outputs, inputs)
    if axes == PLAIN:
        return contract(gradient, matrix, BY_COLUMNS, operands), of_matrix.T
    return contract(gradient, matrix, PLAIN, operands), of_matrix


product.defvjp(_forward, _backward)
