"""Numbers from weights and runs: spectra and statistics."""
