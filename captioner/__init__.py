"""Captions for pictures: textgen's recurrent decoder with eyes."""
