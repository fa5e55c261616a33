"""These tests need the extra "llm"."""

from __future__ import annotations

import pytest

for package in ("torch", "transformers", "peft"):
    pytest.importorskip(package, reason="the extra 'llm' is not installed")
