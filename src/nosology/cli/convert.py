"""``nosology convert``: older weights of a language model in, a folder with safetensors out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="A model's folder: config.json, and flax_model.msgpack or *.bin.")
    ],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The folder to make.")],
) -> None:
    """Turn older weights of a language model into safetensors.

    Reads flax's msgpack (as ClinicalT5's) and PyTorch's .bin, in one file or in shards; no code in them ever runs. The
    new folder has the same outputs and, if the old one has a tokenizer, its fast form. A recipe names the folder:
    [model.llm.backbone] name = "DST".

    Examples:

    \b
      nosology convert downloads/ClinicalT5-base clinical-t5
    """
    from nosology.cli.data import tell
    from nosology.llm import require_llm

    require_llm()
    from nosology.llm.convert import convert as run

    found = run(source, target)
    tell(f"{found.tensors:,} tensors of {found.source}, {found.weights:,} weights: {target}")
    if not found.has_tokenizer:
        tell(f"{source} has no tokenizer that transformers can read: put its tokenizer.json into {target}")
