"""Classification: a sentence's encoded words, pooled, to a class (many-to-one)."""
