"""False alarms and power of the drift tests, by level and correction: `.venv-drift/bin/python bench/drift.py BUNDLE`.

Prints one row per correction, level, condition and window size. Run in the drift environment; needs a bundle whose
reference holds rehearsal films (`cxr fit-drift` with a test split).
"""

import argparse
from pathlib import Path

from cxr.contracts.bundle import BUNDLE_FILE, DRIFT_FOLDER, BundleManifest
from cxr.contracts.files import file_digest, read_json
from cxr.drift.detector import LEVEL, Detector
from cxr.drift.measure import WINDOWS, measure
from cxr.drift.reference import read_reference
from cxr.drift.watched import WatchedFilms


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--levels", type=float, nargs="+", default=[LEVEL, 5 * LEVEL])
    parser.add_argument("--windows", type=int, default=WINDOWS)
    chosen = parser.parse_args()
    manifest = read_json(chosen.bundle / BUNDLE_FILE, BundleManifest)
    reference, described = read_reference(chosen.bundle / DRIFT_FOLDER)
    temperature = manifest.calibration.temperature
    seen = WatchedFilms.of_seen(reference, temperature=temperature)
    rehearsal = {
        name: WatchedFilms.of_seen(films, temperature=temperature) for name, films in reference.rehearsal.items()
    }
    digest = file_digest(chosen.bundle / BUNDLE_FILE)
    for correction in ("fdr", "bonferroni"):
        for level in chosen.levels:
            detector = Detector(seen, statistics=described.statistics, level=level, correction=correction)
            found = measure(detector, rehearsal, bundle=digest, windows=chosen.windows)
            if found.reason is not None:
                raise SystemExit(found.reason)
            for rate in found.rates:
                share = f"{rate.alarms / rate.windows:6.1%} ({rate.low:.1%} – {rate.high:.1%})"
                print(f"{correction:10} {level:5.1%} {rate.condition:10} {rate.window:4} films {share}", flush=True)


if __name__ == "__main__":
    main()
