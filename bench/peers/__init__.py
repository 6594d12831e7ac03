"""Trainers behind one function each: gensim, fastText, compiled ones, NumPy and PyTorch."""
