"""These tests need the extra "neural"; shapes are checked in them by the hook of the conftest.py above."""

from __future__ import annotations

import pytest

for package in ("torch", "jaxtyping", "beartype"):
    pytest.importorskip(package, reason="the neural extra is not installed")
