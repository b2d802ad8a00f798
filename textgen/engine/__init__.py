"""What steps a model, and what it needs for that: the protocol, torch, ONNX Runtime."""
