"""The entry point of a Ray job: one slide, on the cluster that the job runs on.

    ray job submit --working-dir . -- python scripts/submit_job.py --slide /data/a.svs --wait

Needs raysched in the cluster's environment, or in the working folder. Every other option goes to
``raysched run`` (with --wait) or ``raysched submit``. The same submission id submits the same work
once only. Ray gives a stopped job 3 s (RAY_JOB_STOP_WAIT_TIME_S) in which to have it cancelled.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> None:
    """Hand the slide over, and with --wait follow it to its end: stopped with the Ray job, the work
    is cancelled."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--slide", required=True, help="seen from every node; absolute")
    parser.add_argument("--wait", action="store_true", help="follow it; stopped, it is cancelled")
    options, others = parser.parse_known_args()
    from raysched.cli.main import main as raysched

    sys.argv = ["raysched", "run" if options.wait else "submit", options.slide, *others]
    raysched()


if __name__ == "__main__":
    main()
