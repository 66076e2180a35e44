"""Kubeflow pipelines: what the components are composed into, and how to compile, run and submit it."""
