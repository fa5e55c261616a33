"""A hand-written MIMIC-III of a few admissions, with every trap of the real one, and a MIMIC-IV like it."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

NOTE_HEADER = "ROW_ID,SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,STORETIME,CATEGORY,DESCRIPTION,CGID,ISERROR,TEXT"
CODE_HEADER = "ROW_ID,SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE"
TITLE_HEADER = "ROW_ID,ICD9_CODE,SHORT_TITLE,LONG_TITLE"

MIMIC3: dict[str, str] = {
    "NOTEEVENTS": f"""{NOTE_HEADER}
3,10,500001,2101-02-03,,,"Discharge summary","Addendum",,,"Addendum, written first:
""Coumadin"" stopped.
"
5,10,500001,2101-02-01,,,"Discharge summary","Report",,,"Sepsis, diabetes.

Fell from a car, on ""coumadin"", see [**Location**]."
6,10,500002,2101-05-01,,,"Discharge summary","Report",,1,"Marked as an error."
7,10,500002,2101-05-01,,,"Discharge summary  ","Report",,,"Hypertension only."
8,11,500003,2101-06-01,,,"Discharge summary","Report",,,"Nobody coded this one."
9,12,,2101-06-02,,,"Discharge summary","Report",,,"Without an admission."
10,13,500005,2101-06-03,2101-06-03 10:00:00,,"Nursing","Report",,,"Not a ""summary"",
at all."
11,14,500006,2101-06-04,,,"Discharge summary","Report",,,"Joint pain."
12,14,500006,2101-06-04,,,"Discharge summary","Report",,,"Joint pain."
13,14,500006,2101-06-05,,,"Discharge summary","Report",,,"  "
2,14,500006,2101-06-04,,,"Discharge summary","Report",,,"Second report of that day, earlier by ROW_ID."
14,15,500007,2101-07-01,,,"Discharge summary","Addendum",,,"An addendum alone."
""",
    "DIAGNOSES_ICD": f"""{CODE_HEADER}
1,10,500001,2,"25000"
2,10,500001,1,"0389"
3,10,500001,3,"E8120"
4,10,500001,4,"V5861"
5,10,500001,5,"25000"
6,10,500001,,
7,10,500002,1,"4019"
8,12,500004,1,"4019"
9,13,500005,1,"4019"
10,14,500006,1,"71970"
11,14,500006,2,"042"
12,15,500007,1,"25000"
""",
    "PROCEDURES_ICD": f"""{CODE_HEADER}
1,10,500001,1,"0407"
2,10,500001,2,"3893"
3,14,500006,1,"407"
4,14,500006,2,"66"
""",
    "D_ICD_DIAGNOSES": f"""{TITLE_HEADER}
1,"0389","Septicemia NOS","Unspecified septicemia"
2,"25000","DMII","Diabetes, ""type II"" or so"
3,"E8120","Mv collision","Other motor vehicle traffic accident, driver"
4,"V5861","Long-term use anticoagul","Long-term (current) use of anticoagulants"
5,"4019","Hypertension NOS","Unspecified essential hypertension"
6,"042","HIV","Human immunodeficiency virus disease"
""",
    "D_ICD_PROCEDURES": f"""{TITLE_HEADER}
1,"0407","Periph nerve excis NEC","Other excision or avulsion of cranial and peripheral nerves"
2,"407","x","y"
3,"3893","Venous cath NEC","Venous catheterization, not elsewhere classified"
4,"66","x","y"
""",
    "ADMISSIONS": """ROW_ID,SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,ADMISSION_TYPE
1,10,500001,2101-01-20 10:00:00,2101-02-01 11:00:00,EMERGENCY
""",
}

MIMIC4: dict[str, str] = {
    "note/discharge": """note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text
20-DS-2,20,20000001,DS,2,2150-01-03 00:00:00,,"Second, of
two."
20-DS-1,20,20000001,DS,1,2150-01-02 00:00:00,,"First note."
21-DS-1,21,20000002,DS,1,2150-01-02 00:00:00,,"In the ninth revision."
22-DS-1,22,20000003,DS,1,2150-01-02 00:00:00,,"Two tenth and one ninth."
23-DS-1,23,,DS,1,2150-01-02 00:00:00,,"No admission."
24-DS-1,24,20000004,DS,1,2150-01-02 00:00:00,,"No codes."
""",
    "hosp/diagnoses_icd": """subject_id,hadm_id,seq_num,icd_code,icd_version
20,20000001,2,E119,10
20,20000001,1,I10,10
20,20000001,3,I10,10
21,20000002,1,0389 ,9
21,20000002,2,E8120,9
22,20000003,1,S72001A,10
22,20000003,2,E119,10
22,20000003,3,25000,9
""",
    "hosp/procedures_icd": """subject_id,hadm_id,seq_num,chartdate,icd_code,icd_version
20,20000001,1,2150-01-02,0DTJ4ZZ,10
21,20000002,1,2150-01-02,0407,9
""",
    "hosp/d_icd_diagnoses": """icd_code,icd_version,long_title
I10,10,Essential (primary) hypertension
E119,10,"Type 2 diabetes mellitus, without complications"
0389 ,9,Septicemia
E8120,9,Collision
""",
    "hosp/d_icd_procedures": """icd_code,icd_version,long_title
0DTJ4ZZ,10,"Resection of Appendix, Percutaneous Endoscopic Approach"
0407,9,Other excision of nerves
""",
}


def write_release(folder: Path, tables: Mapping[str, str], *, lower: bool = False, compress: bool = False) -> Path:
    """Write tables as a release's files; with lower-case headers and names, or as .csv.gz, if asked."""
    for name, text in tables.items():
        header, _, rows = text.partition("\n")
        data = f"{header.lower() if lower else header}\n{rows}".encode()
        path = folder / f"{name.lower() if lower else name}.csv{'.gz' if compress else ''}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(data) if compress else data)
    return folder
