"""The loop, and the state from which it goes on."""
