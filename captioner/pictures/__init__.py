"""Anything people call a picture, as upright RGB."""
