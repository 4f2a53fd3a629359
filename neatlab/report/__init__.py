"""A comparison as one self-contained, offline page."""
