"""Speed and memory, as the README and the closing notes quote them; run by `make bench`, never by the tests."""
