"""What CIET's map splits into, and which part teaches which."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.models.ciet import Ciet
from occrobnet_jax.runs.state import leaves_by_path
from tests.support.tiny import tiny_model

CHANNELS = 8
EVERYTHING, NOTHING = 30.0, -30.0  # offsets of the gate's normalization, at which all or nothing is evidence


def ciet(gate: float, *, reads: str):
    """CIET as a function of its map; its last layer returns the evidence alone, or the taught context alone."""
    model = Ciet(tiny_model(ciet="softmax", ciet_init_std=0.5, neck_channels=CHANNELS))
    maps = features(0)
    variables = jax.tree.map(jnp.asarray, model.init(jax.random.key(0), maps, train=False))
    params = variables["params"]
    for name in ("merge_conv2", "merge_shortcut"):
        params[name] = jax.tree.map(jnp.zeros_like, params[name])
    identity = jnp.eye(CHANNELS)[None, None]
    halves = (identity, 0 * identity) if reads == "evidence" else (0 * identity, identity)
    params["merge_shortcut"]["kernel"] = jnp.concatenate(halves, 2)
    (norm,) = [path for path in leaves_by_path(params["spatial_gate"]) if path.endswith("bias")]
    *nodes, leaf = norm.split("/")
    place = params["spatial_gate"]
    for node in nodes:
        place = place[node]
    place[leaf] = jnp.full_like(place[leaf], gate)
    return jax.jit(lambda maps: model.apply(variables, maps, train=False).features)


def features(seed: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), (1, 4, 4, CHANNELS))


@pytest.mark.parametrize(("gate", "share"), [(EVERYTHING, 1.0), (NOTHING, 0.0)])
def test_the_mask_s_share_of_the_map_is_evidence(gate, share):
    np.testing.assert_allclose(ciet(gate, reads="evidence")(features(1)), share * features(1), atol=1e-5)


def test_context_is_taught_by_evidence_and_not_the_other_way_round():
    """Where all is evidence, what is taught changes with it; where nothing is, there is nothing to learn from."""
    changes = {
        gate: jnp.abs(taught(features(1)) - taught(features(2))).max()
        for gate in (EVERYTHING, NOTHING)
        for taught in [ciet(gate, reads="context")]
    }
    assert changes[EVERYTHING] > 100 * changes[NOTHING]
