"""Whether there is a GPU, asked of the driver: importing torch to ask would cost seconds on every start without one."""

import ctypes
from functools import cache

_DRIVER = "libcuda.so.1"
_SUCCESS = 0


@cache
def gpu_count(library: str = _DRIVER) -> int:
    """Number of NVIDIA GPUs that this process may use; 0 without a driver. Honours CUDA_VISIBLE_DEVICES.

    Args:
        library: of the driver, as the dynamic linker finds it.
    """
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != _SUCCESS or driver.cuDeviceGetCount(ctypes.byref(count)) != _SUCCESS:
        return 0
    return count.value
