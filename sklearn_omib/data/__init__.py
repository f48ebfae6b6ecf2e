"""What comes in: modalities, their checks and scale, batches from memory and from outside it."""
