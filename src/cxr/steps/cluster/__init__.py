"""Searches and trainings that run in pods of a cluster, not in the step's own process."""
