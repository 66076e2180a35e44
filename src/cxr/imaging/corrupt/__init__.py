"""Graded corruptions of radiographs as batched tensor operations."""

from cxr.imaging.corrupt.catalogue import CORRUPTIONS, EVERY_CELL, PRESETS, SEVERITIES, Corruption, corrupt

__all__ = ["CORRUPTIONS", "EVERY_CELL", "PRESETS", "SEVERITIES", "Corruption", "corrupt"]
