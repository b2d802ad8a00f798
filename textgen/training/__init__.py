"""One training loop for everything, what it keeps on disk, and what it tells the person."""
