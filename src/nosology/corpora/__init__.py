"""Where notes come from: readers for CodiEsp, tables and text files, and splits that never part a patient."""

from __future__ import annotations

from nosology.corpora.caml_files import CamlReport, read_caml_files, read_caml_files_with_report
from nosology.corpora.cmc2007 import read_cmc2007
from nosology.corpora.codiesp import CodiespReport, read_codiesp, read_codiesp_with_report
from nosology.corpora.edin_files import EdinReport, read_edin_files, read_edin_files_with_report
from nosology.corpora.mdace import MdaceReport, read_mdace, read_mdace_with_report
from nosology.corpora.notes import iterate_notes, note_paths, read_note_files
from nosology.corpora.prepared import PreparedFolder, iterate_prepared, open_prepared, read_prepared, write_prepared
from nosology.corpora.readers import open_corpus, open_plugin_corpus, plugin_readers
from nosology.corpora.reading import OnError, Problems, decode_note
from nosology.corpora.splits import Leak, check_leakage, grouped_folds, grouped_split
from nosology.corpora.stratification import stratified_encounters, stratified_split
from nosology.corpora.tabular import TabularColumns, read_tabular
from nosology.corpora.unknown_codes import with_unknown_codes

__all__ = [
    "CamlReport",
    "CodiespReport",
    "EdinReport",
    "Leak",
    "MdaceReport",
    "OnError",
    "PreparedFolder",
    "Problems",
    "TabularColumns",
    "check_leakage",
    "decode_note",
    "grouped_folds",
    "grouped_split",
    "iterate_notes",
    "iterate_prepared",
    "note_paths",
    "open_corpus",
    "open_plugin_corpus",
    "open_prepared",
    "plugin_readers",
    "read_caml_files",
    "read_caml_files_with_report",
    "read_cmc2007",
    "read_codiesp",
    "read_codiesp_with_report",
    "read_edin_files",
    "read_edin_files_with_report",
    "read_mdace",
    "read_mdace_with_report",
    "read_note_files",
    "read_prepared",
    "read_tabular",
    "stratified_encounters",
    "stratified_split",
    "with_unknown_codes",
    "write_prepared",
]
