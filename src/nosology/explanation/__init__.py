"""Why a code was assigned: the words that speak for it, as spans of the original notes."""
