"""The adapter methods: NEAT of our own, all others from PEFT."""
