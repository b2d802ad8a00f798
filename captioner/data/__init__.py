"""Captioned pictures and captions, in the forms that people have them."""
