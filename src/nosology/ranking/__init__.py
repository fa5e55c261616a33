"""Candidates, their features, and one ranker for every code, seen in training or not."""
