"""A finished comparison as one file with a slider through time."""
