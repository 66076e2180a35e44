"""The retraining trigger: receives the drift sidecars' alerts and has Kubeflow train a model anew."""
