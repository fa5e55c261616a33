"""Neural coders among the other methods: a network as a predictor of its own, or as one more source of candidates."""
