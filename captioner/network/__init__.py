"""Pictures to words: encoder, bridge and the shared decoder, stored, exported, spoken."""
