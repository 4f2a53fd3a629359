"""The Runs tab: what the runs folder holds."""
