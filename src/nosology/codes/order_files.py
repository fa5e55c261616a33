"""Read the yearly official CMS order files, which add further releases of ICD-10-CM and ICD-10-PCS.

Layout, fixed width, one code a line: columns 1-5 order number, 7-13 code, 15 flag (1 = can be billed, 0 = heading),
17-76 short title, 78 onwards full title.
"""

from __future__ import annotations

import os
import shutil
from datetime import date
from pathlib import Path

from nosology.codes.formats import format_code
from nosology.codes.tables import ListedCode, Release, ReleaseList
from nosology.errors import CodeError

ORDER_SYSTEMS = ("icd10cm", "icd10pcs")


def read_order_file(path: str | Path, system: str, effective: date) -> ReleaseList:
    """Read one order file (``icd10cm_order_2025.txt``).

    Args:
        path: the file, UTF-8 or Latin-1.
        system: ``icd10cm`` or ``icd10pcs``.
        effective: the first day this release is in force.

    Raises:
        CodeError: the file is missing or empty, or a line breaks the layout; names file and line.
    """
    if system not in ORDER_SYSTEMS:
        raise CodeError(f"order files exist for {' and '.join(ORDER_SYSTEMS)}, not for {system!r}")
    codes: dict[str, ListedCode] = {}
    for number, line in enumerate(_lines(Path(path)), start=1):
        if not line.strip():
            continue
        code, row = _read_line(line, system, path, number)
        if code in codes:
            raise CodeError(f"{code} stands twice", path=path, line=number)
        codes[code] = row
    if not codes:
        raise CodeError("the order file holds no code", path=path)
    return ReleaseList(Release(_fiscal_year(effective), effective), codes, has_headings=True)


def store_release(path: str | Path, system: str, effective: date, cache: Path) -> ReleaseList:
    """Check an order file and keep a copy, so that every later look-up knows the release."""
    released = read_order_file(path, system, effective)
    target = _stored_path(cache, system, effective)
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, temporary)
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CodeError(f"cannot keep the release: {error.strerror}; set NOSOLOGY_CACHE", path=target.parent) from None
    return released


def stored_releases(system: str, cache: Path) -> tuple[tuple[date, Path], ...]:
    """The order files added so far, ascending by effective date."""
    folder = cache / "releases" / system
    return tuple(sorted((date.fromisoformat(path.stem), path) for path in folder.glob("????-??-??.txt")))


def _stored_path(cache: Path, system: str, effective: date) -> Path:
    return cache / "releases" / system / f"{effective.isoformat()}.txt"


def _read_line(line: str, system: str, path: str | Path, number: int) -> tuple[str, ListedCode]:
    flag, title = line[14:15], line[77:].strip() or line[16:76].strip()
    if not line[:5].strip().isdigit() or flag not in ("0", "1") or not title:
        raise CodeError(
            "not a line of an order file (order number, code at column 7, flag 0 or 1 at 15, titles at 17 and 78)",
            path=path,
            line=number,
        )
    try:
        return format_code(line[6:13], system), ListedCode(flag == "1", " ".join(title.split()))
    except CodeError as error:
        raise CodeError(error.problem, path=path, line=number) from None


def _lines(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CodeError(f"cannot read the order file: {error.strerror}", path=path) from None
    try:
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        return content.decode("latin-1").splitlines()


def _fiscal_year(effective: date) -> str:
    year = effective.year + (effective.month >= 10)
    return f"FY{year}" if (effective.month, effective.day) == (10, 1) else f"FY{year} ({effective:%B})"
