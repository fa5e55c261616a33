"""How a neural coder is trained: the loop, its schedule, checkpoints to go on from, validation, streamed scores."""
