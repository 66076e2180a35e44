"""Is this an upright frontal chest radiograph? What is asked of a picture before a network sees it."""

from cxr.imaging.gate.classifier import Gate, Passed, Perceptron, read_gate, write_gate

__all__ = ["Gate", "Passed", "Perceptron", "read_gate", "write_gate"]
