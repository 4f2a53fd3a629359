"""From a request to trained runs: plans, comparisons, sweeps."""
