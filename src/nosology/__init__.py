"""nosology: codes clinical notes with ICD, shows the words that justify each code, stays good on rare ones."""

__version__ = "0.1.0"
