"""What can be assigned: code systems and their releases, formats, crosswalks, label spaces, frequency bands."""

from nosology.codes.crosswalk import CodeMapping, map_code
from nosology.codes.entries import CodeEntry, CodeHit, CodeTerm
from nosology.codes.formats import SYSTEMS, compact_code, format_code, has_code_shape, printable
from nosology.codes.frequency import FrequencyBands
from nosology.codes.label_space import Label, LabelSpace
from nosology.codes.systems import CodeSystem, open_code_system

__all__ = [
    "SYSTEMS",
    "CodeEntry",
    "CodeHit",
    "CodeMapping",
    "CodeSystem",
    "CodeTerm",
    "FrequencyBands",
    "Label",
    "LabelSpace",
    "compact_code",
    "format_code",
    "has_code_shape",
    "map_code",
    "open_code_system",
    "printable",
]
