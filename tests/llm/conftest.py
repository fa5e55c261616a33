"""These tests need the extra "llm"."""

from __future__ import annotations

import pytest

for package in ("torch", "transformers", "peft"):
    pytest.importorskip(package, reason="the extra 'llm' is not installed")

import torch  # noqa: E402

# Models this small only wait for one another's threads, and for minutes where a core is taken.
torch.set_num_threads(1)
