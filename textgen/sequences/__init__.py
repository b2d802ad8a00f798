"""A sentence in: the recurrent encoder that translation and classification stand on."""
