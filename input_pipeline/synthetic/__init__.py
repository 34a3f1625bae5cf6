"""The embedded dataset `synthetic_hands`: posed hands, grasps, scenes, ray casting, exact labels."""
