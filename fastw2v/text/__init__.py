"""Bytes to tokens: inputs of every kind, text shards, tokenizers."""
