"""The embedded datasets, `synthetic_hands` and its siblings: posed hands, grasps, ray casting, exact labels."""
