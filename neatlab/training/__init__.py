"""The training loop, and the state from which it resumes."""
