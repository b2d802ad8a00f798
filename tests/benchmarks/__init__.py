"""Speed and memory, as the README and docs/ quote them; run by `make bench`, never by the tests."""
