"""The Ablate tab: a small sweep and its verdict."""
