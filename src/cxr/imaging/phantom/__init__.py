"""Phantom radiographs: chest films drawn from a seed, with the truth about every lesion."""

from cxr.imaging.phantom.cohort import write_phantoms
from cxr.imaging.phantom.film import Phantom, draw_phantom
from cxr.imaging.phantom.scanner import SCANNERS

__all__ = ["SCANNERS", "Phantom", "draw_phantom", "write_phantoms"]
