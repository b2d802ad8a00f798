"""Files that survive a crash, and a model as a folder of them."""
