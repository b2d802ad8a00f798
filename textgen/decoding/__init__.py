"""From scores to tokens: sampling, constraints, beam search, likelihood."""
