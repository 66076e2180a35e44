"""The reference that live data are compared with."""
