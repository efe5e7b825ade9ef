"""Prints the rows of an export as JSON lines, as DuckDB reads them; pandas must read the same.

read.py FOLDER (differences|users) (csv|jsonl|parquet)
"""

import json
import os
import sys
from pathlib import Path

import duckdb
import pandas

folder, of, form = sys.argv[1:]
is_log = of == "differences"
parts = "date=*" if is_log else "snapshot=*"
glob = f"{folder}/{parts}/*.{form}"
part = "date" if is_log else "snapshot"
columns = ["time", "segment", "user", "diff"] if is_log else ["segment", "user"]

db = duckdb.connect()
db.execute("SET TimeZone = 'UTC'")
types = {"time": "TIMESTAMPTZ", "segment": "VARCHAR", "user": "VARCHAR", "diff": "TINYINT"}
if form == "jsonl":
    types["time"] = "BIGINT"
given = "{" + ", ".join(f"'{it}': '{types[it]}'" for it in columns) + "}"
hive = f"hive_partitioning = true, hive_types = {{'{part}': VARCHAR}}"
read = {
    "csv": f"read_csv('{glob}', header = true, columns = {given}, quote = '\"', escape = '\"', "
    f"new_line = '\\r\\n', auto_detect = false, delim = ',', {hive})",
    "jsonl": f"read_json('{glob}', format = 'newline_delimited', columns = {given}, {hive})",
    "parquet": f"read_parquet('{glob}', {hive})",
}[form]
time = "time" if form == "jsonl" else "epoch_ms(time)"
chosen = f'{time} AS time, segment, "user", diff' if is_log else 'segment, "user"'
found = db.execute(f"SELECT {chosen}, {part} FROM {read}").fetchall()
if form == "parquet" and is_log:
    described = dict(row[:2] for row in db.execute(f"DESCRIBE SELECT * FROM {read}").fetchall())
    assert described["time"] == "TIMESTAMP WITH TIME ZONE", described
    assert described["diff"] == "TINYINT", described
duck = [tuple(row) for row in found]

panda = []
for path in sorted(Path(folder).glob(f"{parts}/*.{form}")):
    texts = {"segment": str, "user": str}
    if form == "csv":
        frame = pandas.read_csv(path, dtype=texts, keep_default_na=False)
    elif form == "jsonl":
        frame = pandas.read_json(path, lines=True, dtype=texts, convert_dates=False)
    else:
        frame = pandas.read_parquet(path, partitioning=None)
    assert list(frame.columns) == columns, frame.columns
    if is_log and form != "jsonl":
        times = pandas.to_datetime(frame["time"], utc=True)
        frame["time"] = (times - pandas.Timestamp(0, tz="UTC")) // pandas.Timedelta(milliseconds=1)
    frame[part] = path.parent.name.removeprefix(f"{part}=")
    panda += [tuple(row) for row in frame.itertuples(index=False)]

assert sorted(duck) == sorted(panda), (sorted(duck)[:5], sorted(panda)[:5])
for row in sorted(duck):
    print(json.dumps(dict(zip([*columns, part], row))))

# All has been read and agrees. The libraries' own threads may outlive what they stand on while the
# interpreter is taken down ("terminate called without an active exception"): it is not.
sys.stdout.flush()
os._exit(0)
