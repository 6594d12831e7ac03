"""Token ids to weights: configuration, batches, sampling, the training loop, saves."""
