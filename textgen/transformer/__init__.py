"""A decoder-only Transformer behind the protocol that the recurrent decoder keeps."""
