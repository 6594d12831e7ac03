"""Numba kernels: arrays in, arrays changed, losses out; no I/O and no Python objects."""
