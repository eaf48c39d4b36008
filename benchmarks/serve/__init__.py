"""One worker of the gateway beside a bare echo and the usual FastAPI endpoints, in one run, on this machine.

``python -m benchmarks.serve`` (``--quick`` for fewer and shorter rounds). Everything that answers is started once and
stays up; the points of all of them are measured in turn, round by round, so that a noisy minute hits each alike, and
what is reported are medians and ratios. Load is closed-loop (wrk, else a generator in Python): good for throughput,
blind to stalls, so the pauses are measured apart by constant arrivals.
"""
