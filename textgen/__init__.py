"""A recurrent decoder that speaks: text in, text out."""
