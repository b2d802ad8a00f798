"""Text as people have it and as tokens: files, characters, words, prompts, batches."""
