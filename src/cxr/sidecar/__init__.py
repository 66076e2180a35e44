"""The drift sidecar: a process beside the predictor, in an environment of its own."""
