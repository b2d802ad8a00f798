"""How a captioner is trained: its settings, batches and phases."""
