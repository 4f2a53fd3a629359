"""The Inspect tab: what an adapter did to the weights."""
