"""InterHand2.6M, from its annotation lists to examples."""
