"""A program written out for formats that know one platform and no loops of JAX's.

What is lowered per platform (`models/ops`) gets the form of platforms that have none of their own, scans are unrolled,
and calls are inlined, those with gradients of their own among them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal

CALLS = {"jit": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}
"""Primitives that call a program, with the parameter that holds it."""


def written_out(function: Callable[..., Any], *inputs: jax.ShapeDtypeStruct) -> Callable[..., Any]:
    """Return the same function of the same inputs, written out."""
    program, result = jax.make_jaxpr(function, return_shape=True)(*inputs)

    def plain(*arguments: Any) -> Any:
        return jax.tree.unflatten(jax.tree.structure(result), _run(program, jax.tree.leaves(arguments)))

    return plain


def _run(program: ClosedJaxpr, arguments: Sequence[Any]) -> list[Any]:
    jaxpr = program.jaxpr
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, program.consts, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))

    def value_of(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        results = _apply(equation, [value_of(atom) for atom in equation.invars])
        values.update(zip(equation.outvars, results, strict=True))
    return [value_of(atom) for atom in jaxpr.outvars]


def _apply(equation: JaxprEqn, arguments: list[Any]) -> list[Any]:
    primitive, params = equation.primitive, equation.params
    if primitive.name == "platform_index":
        return [params["platforms"].index(None)]  # the form for all others
    if primitive.name == "cond" and isinstance(arguments[0], int):
        return _run(params["branches"][arguments[0]], arguments[1:])
    if primitive.name == "scan":
        return _unrolled(params, arguments)
    if primitive.name in CALLS:
        return _run(params[CALLS[primitive.name]], arguments)
    results = primitive.bind(*arguments, **primitive.get_bind_params(params))
    return list(results) if primitive.multiple_results else [results]


def _unrolled(params: dict[str, Any], arguments: list[Any]) -> list[Any]:
    """Run a scan's steps one after the other."""
    first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
    constants, carry, sliced = arguments[:first], arguments[first:last], arguments[last:]
    order = range(params["length"])
    outputs = {}
    for i in reversed(order) if params["reverse"] else order:
        results = _run(params["jaxpr"], [*constants, *carry, *(array[i] for array in sliced)])
        carry, outputs[i] = results[: len(carry)], results[len(carry) :]
    return [*carry, *(jnp.stack(steps) for steps in zip(*(outputs[i] for i in order), strict=True))]
