"""Code generated with llvmlite, the only place of it: vectors, tiles, loss terms, atomics."""
