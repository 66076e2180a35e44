"""Ingest: from any source of films to the studies that every later step reads."""

from cxr.steps.ingest.step import ingest

__all__ = ["ingest"]
