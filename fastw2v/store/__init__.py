"""Tokens to ids on disk: preprocessing, the vocabulary, the token store."""
