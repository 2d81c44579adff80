"""The page to try a model in the browser: one file, which draws itself from the model's metadata."""
