"""The embedded datasets `synthetic_hands` and `synthetic_hands_v2`: posed hands, grasps, ray casting, exact labels."""
