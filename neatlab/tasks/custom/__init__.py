"""A task from a model and data of one's own."""
