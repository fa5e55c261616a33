"""Experiments, a module each: ``EXPERIMENT`` is its declaration, the module's name its name on the command line."""
