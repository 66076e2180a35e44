"""Training must import on a bare GPU machine: see ADR 10."""

import subprocess
import sys

PROGRAM = '''
import sys

FORBIDDEN = {"kfp", "mlflow", "kubernetes", "click", "yaml", "pydicom", "optuna", "matplotlib", "minio", "onnx",
             "onnxruntime", "captum", "jinja2", "kagglehub", "rich"}

class Without:
    """A finder that does not see the forbidden packages."""

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in FORBIDDEN else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
import cxr.steps.train
import cxr.imaging.preprocess
print("imported")
'''


def test_the_training_path_needs_nothing_else():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "imported", done.stderr


def test_contracts_and_preprocessing_never_import_torch():
    program = (
        "import sys, cxr.contracts.bundle, cxr.contracts.metrics, cxr.imaging.preprocess; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
