"""Chest X-ray classification (Normal / Pneumonia / Tuberculosis) on Kubeflow."""

__version__ = "0.1.0"
