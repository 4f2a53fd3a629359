"""The Understand tab: what one layer of each method is."""
