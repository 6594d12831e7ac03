"""Text to token ids: shards, tokenizer, vocabulary, token store, preprocessor."""
