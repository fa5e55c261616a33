"""What words mean: concepts, expressions of codes, where they come from, and how they are found in a note."""
