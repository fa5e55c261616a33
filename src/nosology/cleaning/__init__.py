"""Finds what is likely wrong with a corpus: copied text, implausible codes, missing codes."""
