"""The platform that a run is on: the one that was asked for, or none."""

import os

import jax

NAMES = ("cpu", "gpu", "tpu")
REMEDIES = {
    "cpu": "leave JAX_PLATFORMS unset",
    "gpu": "look whether `nvidia-smi` shows one, and whether the jax[cuda...] that its driver wants is installed",
    "tpu": "look whether jax[tpu] is installed, and whether another process has the chips",
}


def start_on(wanted: str | None) -> None:
    """Start JAX's backend; `wanted` is one of NAMES, None takes what JAX finds.

    JAX by itself goes on on the CPU where it can't reach an accelerator. The CPU that is asked for is taken where
    there is an accelerator, too. After `hosts.initialize`, which JAX wants to come before any backend.

    Raises:
        ValueError: the wanted platform, or the one of JAX_PLATFORMS, is not there; says what JAX says, and what to do.
    """
    if wanted == "cpu":
        jax.config.update("jax_platforms", wanted)
    asked = f"--platform={wanted}" if wanted else f"JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')}"
    try:
        jax.devices(wanted)
        found = jax.default_backend()
    except (RuntimeError, AssertionError) as error:  # the latter, without a word, for CUDA without a GPU
        said = f" ({error})" if str(error) else ""
        raise ValueError(f"{asked}: JAX finds no such device{said}; {_remedy(wanted)}") from None
    if wanted and found != wanted:
        raise ValueError(f"{asked}, but JAX is on {found}; {_remedy(wanted)}")


def _remedy(wanted: str | None) -> str:
    return REMEDIES[wanted] if wanted else "correct or unset JAX_PLATFORMS"
