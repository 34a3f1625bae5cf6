"""Prediction on pictures that are in no dataset."""
