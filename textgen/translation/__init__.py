"""Translation: a sentence's encoded words as the context of the decoder that speaks captions (many-to-many)."""
