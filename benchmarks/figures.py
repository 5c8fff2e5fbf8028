"""Numbers of a benchmark: shown with their spread, and compared with limits."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence


def options(description: str | None) -> argparse.Namespace:
    """The command line that every benchmark takes: `quick` for fewer samples."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer samples, less load")
    return parser.parse_args()


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that is not below `share` (0 to 1) of all of them."""
    ordered = sorted(samples)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


class Figures:
    """A table of figures and the limits that they must keep."""

    def __init__(self, title: str) -> None:
        self._missed: list[str] = []
        print(f"{title}\n  {'':44} {'min':>9} {'median':>9} {'p99':>9}  samples")

    def samples(self, what: str, values: Sequence[float], unit: str = "ms") -> float:
        """Show a row of samples; returns their median."""
        median = statistics.median(values)
        shown = (min(values), median, percentile(values, 0.99))
        cells = " ".join(f"{value:9.2f}" for value in shown)
        print(f"  {what:44} {cells}  {len(values)} x {unit}", flush=True)
        return median

    def value(self, what: str, value: float, unit: str) -> None:
        """Show a single figure."""
        print(f"  {what:44} {'':9} {value:9.2f} {'':9}  {unit}", flush=True)

    def limit(self, what: str, value: float, most: float) -> None:
        """Demand that `value` is at most `most`."""
        verdict = "kept" if value <= most else "MISSED"
        print(f"  limit: {what}: {value:.2f}, at most {most:.2f}: {verdict}", flush=True)
        if value > most:
            self._missed.append(what)

    def finish(self) -> None:
        """End the program: status 1 if a limit was missed."""
        sys.exit(1 if self._missed else 0)
