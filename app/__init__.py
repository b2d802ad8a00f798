"""The page: captions, text, scores and models in a browser; `captioner app` opens it."""
