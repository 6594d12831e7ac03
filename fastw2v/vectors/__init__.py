"""Weights to answers: keyed vectors, file formats, benchmarks."""
