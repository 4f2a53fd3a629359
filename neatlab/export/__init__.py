"""What a run trained, in the forms of others."""
