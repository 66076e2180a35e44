"""Pure functions from labels and probabilities to figures of merit."""
