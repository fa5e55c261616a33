"""These tests need the extra "neural"."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the neural extra is not installed")
