"""Shapes are checked at run time in every test of this folder, if nothing imported the modules before."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the neural extra is not installed")
jaxtyping = pytest.importorskip("jaxtyping", reason="the neural extra is not installed")
pytest.importorskip("beartype", reason="beartype is not installed")

jaxtyping.install_import_hook(
    ["nosology.encoders", "nosology.heads", "nosology.model", "nosology.builders"], "beartype.beartype"
)
