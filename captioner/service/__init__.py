"""The captioner behind an address: requests in, JSON out; knows its models by what they can do only."""
