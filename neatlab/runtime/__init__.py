"""Where the code runs: processes, devices, caches, imports that wait."""
