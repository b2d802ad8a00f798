"""Engines without their loops: the way before there were any, which tests and benchmarks compare with."""

from textgen.engine.onnx import OnnxEngine


class Stepped:
    """An engine that is stepped, and chosen from in numpy."""

    def __init__(self, engine: OnnxEngine):
        self.vocab_size = engine.vocab_size
        self.start, self.prefill, self.step = engine.start, engine.prefill, engine.step
        self.select, self.join = engine.select, engine.join
        self.score, self.attention = engine.score, engine.attention
