"""A decoder as ONNX graphs, put together node by node; they hold no weights."""
