"""Published tables, ours beside them: each module trains what its table needs and writes one page."""
