"""How much CPU time a container may use: inference engines count the machine's cores and know nothing of the limit."""

import math
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_UNLIMITED = "max"


def core_limit(cgroups: Path = _CGROUPS) -> int | None:
    """Whole cores that the container's CPU limit allows, at least 1; None without a limit.

    More threads than that are stopped together for most of every period, which multiplies the latency.

    Args:
        cgroups: where cgroups are mounted, version 2 or 1.
    """
    try:
        quota, period = (cgroups / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroups / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroups / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota == _UNLIMITED or int(quota) <= 0:
        return None
    return max(1, math.ceil(int(quota) / int(period)))
