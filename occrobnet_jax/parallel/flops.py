"""The floating point operations of a program's products, counted from its jaxpr.

The count is that of the mathematics, on every platform the same. XLA's own has other uses: it counts what a platform's
program does, a loop's body once however often it runs, and JAX does not have it before compilation on GPUs and TPUs.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax


def product_flops(function: Callable[..., Any], *arguments: Any) -> float:
    """Return the operations of all matrix products and convolutions of `function`, without running it.

    A product of n numbers with n others and their sum are 2 n operations. Samples in the padding count. A `scan` counts
    as often as it runs, a loop of unknown length once, and of several branches the one that takes most: among branches
    for platforms, that is the plain form.

    Args:
        function: any that JAX can trace.
        *arguments: arrays, or only their shapes.
    """
    return _of_jaxpr(jax.make_jaxpr(function)(*arguments).jaxpr)


def _of_jaxpr(jaxpr: Any) -> float:
    return math.fsum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: Any) -> float:
    name, parameters = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return 2.0 * equation.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel, output_channels = equation.invars[1].aval, parameters["dimension_numbers"].rhs_spec[0]
        return 2.0 * equation.outvars[0].aval.size * kernel.size / kernel.shape[output_channels]
    inner = [_of_jaxpr(jaxpr) for jaxpr in _jaxprs(parameters)]
    if name == "cond":
        return max(inner)
    return math.fsum(inner) * (parameters["length"] if name == "scan" else 1)


def _jaxprs(parameters: dict[str, Any]) -> Iterator[Any]:
    """Yield the programs among an equation's parameters."""
    for value in parameters.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if hasattr(item, "eqns"):
                yield item
            elif hasattr(item, "jaxpr"):
                yield item.jaxpr
