"""One operation in two forms: a fast one for CPUs, and the plain one that every other platform gets."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array

Form = Callable[..., Array]


def by_platform(*, cpu: Form, plain: Form) -> Form:
    """Return an operation that is lowered as `cpu` for CPUs and as `plain` elsewhere, its gradient too.

    The forms take the same arrays and give the same result. The backward pass keeps the arguments alone and works out
    again what it needs of the result: differentiated through, `jax.lax.platform_dependent` would keep what either
    form needs.
    """

    @jax.custom_vjp
    def operation(*arguments: Array) -> Array:
        return jax.lax.platform_dependent(*arguments, cpu=cpu, default=plain)

    def forward(*arguments: Array) -> tuple[Array, tuple[Array, ...]]:
        return operation(*arguments), arguments

    def backward(arguments: tuple[Array, ...], gradient: Array) -> Any:
        return jax.lax.platform_dependent(*arguments, gradient, cpu=_pullback(cpu), default=_pullback(plain))

    operation.defvjp(forward, backward)
    return operation


def _pullback(form: Form) -> Callable[..., Any]:
    """Return the gradient of a form as a function of its arguments and of the result's gradient, which comes last."""

    def pullback(*arguments_and_gradient: Array) -> Any:
        *arguments, gradient = arguments_and_gradient
        return jax.vjp(form, *arguments)[1](gradient)

    return pullback
