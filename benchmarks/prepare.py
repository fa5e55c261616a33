"""How fast and in how much memory MIMIC-III is prepared, beside the plain pandas way of doing the same.

python benchmarks/prepare.py [--admissions N] [--raw DIR]

Both ways run in a process of their own, on the same files, and give the same notes and codes, which is checked: all
discharge summaries, addenda in order, codes with dots, no duplicates, written as Parquet. The plain way reads codes as
text (``dtype=str``), so that it is right; it makes no label space, hashes or checks. Neither way makes splits;
what our own splits take on top is the last row. The files are ``nosology simulate mimic3``'s; ``--raw`` takes others,
such as MIMIC-III itself.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MIMIC_ADMISSIONS = 52_726
WAYS = {
    "nosology": "nosology prepare",
    "again": "again (nothing changed)",
    "pandas": "plain pandas",
    "split": "nosology, own splits",
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Prepare MIMIC-III with nosology and with plain pandas.")
    parser.add_argument("--admissions", type=int, default=MIMIC_ADMISSIONS, help="how many are simulated")
    parser.add_argument("--raw", type=Path, help="a MIMIC-III folder instead of a simulated one")
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way is not None:
        measure(options.way, options.raw, options.out)
        return
    with tempfile.TemporaryDirectory() as folder:
        raw = options.raw or simulate(Path(folder) / "raw", options.admissions)
        compare(raw, Path(folder))


def simulate(raw: Path, admissions: int) -> Path:
    """A simulated MIMIC-III; its own time is told, too."""
    started = time.perf_counter()
    command = ["simulate", "mimic3", "--admissions", str(admissions), "--seed", "0", "--out", str(raw)]
    subprocess.run([sys.executable, "-m", "nosology", *command], check=True, capture_output=True)
    print(f"simulated {admissions:,} admissions in {time.perf_counter() - started:.0f} s")
    return raw


def compare(raw: Path, folder: Path) -> None:
    """Run each way in a process of its own, print the table, and compare what they wrote."""
    size = sum(path.stat().st_size for path in raw.rglob("*.csv*")) / 1e6
    print(f"CSV: {size:,.0f} MB; load average before: {Path('/proc/loadavg').read_text().split()[0]}\n")
    print(f"{'way':<24} {'wall s':>8} {'CPU s':>8} {'MB/s wall':>10} {'MB/s CPU':>9} {'peak MB':>9}")
    results = {}
    for way, label in WAYS.items():
        out = folder / ("nosology" if way == "again" else way)
        command = [sys.executable, __file__, "--way", way, "--raw", str(raw), "--out", str(out)]
        results[way] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        wall, cpu, peak = results[way]
        print(f"{label:<24} {wall:>8.1f} {cpu:>8.1f} {size / wall:>10.0f} {size / cpu:>9.0f} {peak:>9,.0f}")
    ours, plain = results["nosology"], results["pandas"]
    print(
        f"\nplain pandas takes {plain[0] / ours[0]:.1f} x the time ({plain[1] / ours[1]:.1f} x the processor time) "
        f"and {plain[2] / ours[2]:.1f} x the memory"
    )
    print(f"same notes and codes: {'yes' if same(folder / 'nosology', folder / 'pandas') else 'NO'}")


def measure(way: str, raw: Path, out: Path) -> None:
    """Do it once and print wall time, processor time and peak memory of this process."""
    started = time.perf_counter()
    if way == "pandas":
        prepare_plainly(raw, out)
    else:
        from nosology.corpora.mimic3 import prepare_mimic3
        from nosology.corpora.preparation.options import MimicOptions

        options = MimicOptions() if way == "split" else MimicOptions(own_split=None)
        assert prepare_mimic3(raw, out, options).unchanged == (way == "again")
    wall, cpu = time.perf_counter() - started, time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps([wall, cpu, peak]))


def prepare_plainly(raw: Path, out: Path) -> None:
    """What a careful person writes with pandas: everything in memory, codes as text."""
    import pandas as pd

    out.mkdir()
    notes = pd.read_csv(raw / "NOTEEVENTS.csv", dtype=str, keep_default_na=False)
    notes = notes[(notes["CATEGORY"].str.strip() == "Discharge summary") & (notes["HADM_ID"] != "")]
    notes = notes[(notes["ISERROR"] != "1") & (notes["TEXT"].str.strip() != "")]
    notes = notes.drop_duplicates(["HADM_ID", "TEXT"])
    notes = notes.assign(
        addendum=notes["DESCRIPTION"].str.lower().str.startswith("addendum"),
        subject=notes["SUBJECT_ID"].astype(int),
        hadm=notes["HADM_ID"].astype(int),
        row=notes["ROW_ID"].astype(int),
    ).sort_values(["subject", "hadm", "addendum", "CHARTDATE", "row"])
    codes = pd.concat([coded(raw, "DIAGNOSES_ICD", diagnosis=True), coded(raw, "PROCEDURES_ICD", diagnosis=False)])
    codes = codes.drop_duplicates(["HADM_ID", "code"])
    listed = codes.groupby("HADM_ID", sort=False)["code"].agg(list)
    notes = notes[notes["HADM_ID"].isin(listed.index)]
    encounters = notes[["HADM_ID", "SUBJECT_ID"]].drop_duplicates("HADM_ID")
    encounters = encounters.assign(codes=encounters["HADM_ID"].map(listed))
    notes[["HADM_ID", "ROW_ID", "CATEGORY", "TEXT"]].to_parquet(out / "notes.parquet", compression="zstd")
    encounters.to_parquet(out / "encounters.parquet", compression="zstd")


def coded(raw: Path, table: str, *, diagnosis: bool) -> pd.DataFrame:
    """A table of codes, dots put in, in the order of SEQ_NUM."""
    import pandas as pd

    frame = pd.read_csv(raw / f"{table}.csv", dtype=str, keep_default_na=False)
    frame = frame[(frame["ICD9_CODE"] != "") & (frame["HADM_ID"] != "")]
    position = pd.to_numeric(frame["SEQ_NUM"], errors="coerce").fillna(1e9)
    code = [dotted(code, diagnosis=diagnosis) for code in frame["ICD9_CODE"]]
    return frame.assign(code=code, position=position).sort_values("position", kind="stable")[["HADM_ID", "code"]]


def dotted(code: str, *, diagnosis: bool) -> str:
    """The dot where the table puts it."""
    stem = (4 if code.startswith("E") else 3) if diagnosis else 2
    return f"{code[:stem]}.{code[stem:]}" if len(code) > stem else code


def same(ours: Path, plain: Path) -> bool:
    """Whether both ways wrote the same texts and codes of the same admissions, in the same order."""
    import pyarrow.parquet as parquet

    def columns(path: Path, *names: str) -> list[list[object]]:
        table = parquet.read_table(path, columns=list(names))
        return [table.column(name).to_pylist() for name in names]

    notes = columns(ours / "notes.parquet", "encounter_id", "note_id", "text")
    codes = columns(ours / "encounters.parquet", "encounter_id", "codes")
    return notes == columns(plain / "notes.parquet", "HADM_ID", "ROW_ID", "TEXT") and codes == columns(
        plain / "encounters.parquet", "HADM_ID", "codes"
    )


if __name__ == "__main__":
    main()
