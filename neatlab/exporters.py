"""Runs to other trackers, as optional extras."""
