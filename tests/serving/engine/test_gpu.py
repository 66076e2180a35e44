import shutil
import subprocess

import pytest

from cxr.serving.engine.gpu import gpu_count

DRIVER = """
int cuInit(unsigned flags) {{ return {initialised}; }}
int cuDeviceGetCount(int *count) {{ *count = 2; return {counted}; }}
"""


def test_without_a_driver_there_is_no_gpu(tmp_path):
    assert gpu_count(str(tmp_path / "libcuda.so.1")) == 0


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize(("initialised", "counted", "gpus"), [(0, 0, 2), (100, 0, 0), (0, 3, 0)])
def test_the_driver_is_asked(tmp_path, initialised, counted, gpus):
    library = tmp_path / "libcuda.so.1"
    source = DRIVER.format(initialised=initialised, counted=counted).encode()
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library], input=source, check=True)
    assert gpu_count(str(library)) == gpus
