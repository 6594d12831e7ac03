"""Words that belong together, found in a corpus and joined in text."""
