"""Traces as they are published: forms, units, packing, what is left out and what is said."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmplan.core.errors import MissingExtraError, ScenarioError
from swarmplan.scenarios import schema
from swarmplan.scenarios.trace import ReadTrace, read_trace
from swarmplan.scenarios.workload import _lengths
from swarmplan.tests.extras import is_installed, needs

CSV = "arrival_s,prompt_tokens,output_tokens\n0,5,7\n2.5,6,8\n"
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def read(folder: Path, content: bytes | str, name: str = "t.csv", **fields: object) -> ReadTrace:
    raw = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(raw)
    return read_trace(schema.Trace(csv=name, **fields), {"me": 0}, folder)  # type: ignore[arg-type]


def seen(trace: ReadTrace) -> list[tuple[float, int, int]]:
    return [(round(r.arrival_s, 7), r.prompt_tokens, r.output_tokens) for r in trace.requests]


def told(folder: Path, content: bytes | str, name: str = "t.csv") -> str:
    with pytest.raises(ScenarioError) as caught:
        read(folder, content, name)
    return str(caught.value)


def jsonl(*records: dict[str, object]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


MOONCAKE = jsonl(
    {"timestamp": 27000, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1]},
    {"timestamp": 30000, "input_length": 87169, "output_length": 3, "hash_ids": []},
)
ALIBABA = jsonl(
    {"chat_id": 1, "timestamp": 61.114, "input_length": 9, "output_length": 4, "hash_ids": []},
    {"chat_id": 2, "timestamp": 64.114, "input_length": 8, "output_length": 3, "hash_ids": []},
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (AZURE + "2023-11-16 18:17:03.9799600,9,4\r\n2023-11-16 18:17:06.9799601,8,3", 3.0000001),
        (AZURE + "2024-05-10 00:00:00.009930+00:00,9,4\n2024-05-10 00:00:03.009930+00:00,8,3", 3),
        (AZURE + "2024-05-10 00:00:00+00:00,9,4\n2024-05-10 02:00:03+02:00,8,3\n", 3),
        (AZURE + "2024-05-10T23:59:59Z,9,4\n2024-05-11T00:00:02Z,8,3\n", 3),
        (AZURE + "2024-05-10 23:59:59 UTC,9,4\n2024/05/11 00:00:02,8,3\n", 3),
        (AZURE + "1715299200,9,4\n1715299203,8,3\n", 3),
        (AZURE + "1715299200000,9,4\n1715299203000,8,3\n", 3),
        (AZURE + "1715299200000000,9,4\n1715299203000000,8,3\n", 3),
        ("TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n0,2,9,4\n3,0,8,3\n", 3),
        (
            "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
            "5,ChatGPT,9,4,13,Conversation log\n8,GPT-4,8,3,11,API log\n",
            3,
        ),
        (
            "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,"
            "Log Type\n19440110.0,a,1.5,GPT-4,9.0,4.0,13.0,API log\n"
            "19440113.0,,,GPT-4,8.0,3.0,11.0,API log\n",
            3,
        ),
        (
            "request_id,request_type,application_id,arrival_timestamp,batch_size,prompt_size,"
            "token_size\n0,2,0,0.5,1,9,4\n1,2,0,3.5,1,8,3\n",
            3,
        ),
        ("arrived_at,num_prefill_tokens,num_decode_tokens\n0.5,9,4\n3.5,8,3\n", 3),
        ("arrival_ms;prompt_tokens;output_tokens\n500;9;4\n3500;8;3\n", 3),
        ("timestamp_ns\tinput_tokens\toutput_tokens\n5e8\t9\t4\n35e8\t8\t3\n", 3),
        (ALIBABA, 3),
        (json.dumps([json.loads(line) for line in ALIBABA.splitlines()], indent=1), 3),
        (
            jsonl(
                {"arrival_s": 1, "prompt_tokens": 9, "output_tokens": 4},
                {"output_tokens": 3, "prompt_tokens": 8, "arrival_s": 4, "client": "me"},
            ),
            3,
        ),
        (
            json.dumps(
                {
                    "request_rate": "inf",
                    "input_lens": [9, 7, 8],
                    "output_lens": [4, 0, 3],
                    "start_times": [81.5, 82.0, 84.5],
                    "errors": ["", "timeout", ""],
                }
            ),
            3,
        ),
    ],
)
def test_public_forms_are_read_as_they_are(content: str, expected: float, tmp_path: Path) -> None:
    assert seen(read(tmp_path, content)) == [(0, 9, 4), (expected, 8, 3)]


def test_mooncake_counts_in_milliseconds(tmp_path: Path) -> None:
    trace = read(tmp_path, MOONCAKE, "m.jsonl")
    assert seen(trace) == [(0, 6758, 500), (3, 87169, 3)]
    assert trace.warnings == ()


def test_columns_named_as_in_mooncake_are_told_to_be_read_so(tmp_path: Path) -> None:
    csv = "timestamp,input_length,output_length\n0,9,4\n3000,8,3\n"
    trace = read(tmp_path, csv)
    assert seen(trace)[1][0] == 3
    assert "read as ms" in trace.warnings[0]
    trace = read(tmp_path, csv, arrival_unit="s")
    assert seen(trace)[1][0] == 3000
    assert trace.warnings == ()


@pytest.mark.parametrize(("rate", "last_s"), [(4, 0.25), ("inf", 0.0)])
def test_a_result_without_start_times_is_spaced_by_its_rate(
    rate: object, last_s: float, tmp_path: Path
) -> None:
    result = {"request_rate": rate, "input_lens": [9, 8], "output_lens": [4, 3]}
    trace = read(tmp_path, json.dumps(result), "result.json")
    assert seen(trace) == [(0, 9, 4), (last_s, 8, 3)]
    assert "no start_times" in trace.warnings[0]


def test_a_result_without_details_tells_the_option(tmp_path: Path) -> None:
    result = {"request_throughput": 2.0, "total_input_tokens": 17, "duration": 3.0}
    assert "--save-detailed" in told(tmp_path, json.dumps(result))


def test_requests_without_prompt_or_answer_are_left_out_and_told(tmp_path: Path) -> None:
    trace = read(tmp_path, CSV + "3,5,0\n4,0,5\n5,6,0.0\n")
    assert [r.output_tokens for r in trace.requests] == [7, 8]
    assert [w.partition(": ")[2].partition(": ")[2] for w in trace.warnings] == [
        "1 of 5 requests have 0 prompt tokens (failed or cancelled): left out",
        "2 of 5 requests have 0 output tokens (failed or cancelled): left out",
    ]
    assert "2 of 3 requests have 0 output" in told(
        tmp_path, "\n".join([*CSV.split()[:2], "1,1,0", "2,1,0"])
    )


def test_zeros_of_a_token_count_file_are_left_out_the_same_way(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("tokens,said\n5,a\n0,b\n7.0,a\n")
    said: list[str] = []
    given = schema.TokenFile(file="l.csv", column="tokens", predicted_class="said")
    found = _lengths(given, "x", tmp_path, [], said)
    assert found.values == (5, 7)
    assert said == ["x.file: l.csv: 1 of 3 entries are 0 tokens (failed or cancelled): left out"]


def _zipped(content: bytes, *names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("pack", "name"),
    [
        (gzip.compress, "t.csv.gz"),
        (gzip.compress, "T.CSV.GZ"),
        (gzip.compress, "t.csv"),
        (bz2.compress, "t.csv.bz2"),
        (lzma.compress, "t.csv.xz"),
        (lambda c: _zipped(c, "folder/", "folder/t.csv", "__MACOSX/._t.csv"), "t.zip"),
        (lambda c: _zipped(gzip.compress(c), "t.csv.gz"), "t.csv.zip"),
        (lambda c: c.decode().encode("utf-16"), "t.csv"),
        (lambda c: b"\xef\xbb\xbf" + c, "t.csv"),
    ],
)
def test_packed_files_are_told_by_their_content(
    pack: Callable[[bytes], bytes], name: str, tmp_path: Path
) -> None:
    assert seen(read(tmp_path, pack(CSV.encode()), name)) == [(0, 5, 7), (2.5, 6, 8)]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (_zipped(b"a", "a.csv", "b.csv"), "is a zip archive of 2 files, not of one: a.csv, b.csv"),
        (_zipped(b"a", "xl/workbook.xml"), "is an Excel workbook"),
        (b"\x28\xb5\x2f\xfd123", "is packed with zstd"),
        (gzip.compress(CSV.encode())[:-9], "cannot be unpacked"),
        (b"\x00\xff\xfe binary", "is not UTF-8 text"),
        (b"x" * (2**20 + 1), "a line of more than 1 MiB"),
        (MOONCAKE + "{oops", "line 3: is no JSON object"),
        ("{oops", "is not JSON"),
        ("[1, 2]", "no list of objects"),
        ('{"a": 1}\n[2]\n', "has no column arrival_s"),
        ("", "has no column arrival_s"),
        (CSV + "x,1,1\n", "line 4: could not convert string to float: 'x'"),
        (AZURE + "2024-05-10 25:00,9,4\n", "'2024-05-10 25:00' is no time"),
        (CSV + "1,2.5,1\n", "line 4: '2.5' is not a whole number"),
        (CSV + "1,-1,1\n", "line 4: -1 tokens are negative"),
        (CSV + "\n1,1\n", "line 5: has too few columns"),
        (CSV + "1715299200000,1,1\n", "line 4: '1715299200000' is no time in seconds"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_kind(
    content: bytes | str, says: str, tmp_path: Path
) -> None:
    assert says in told(tmp_path, content)


def test_max_requests_reads_no_further(tmp_path: Path) -> None:
    trace = read(tmp_path, CSV + "4,0,1\n" + "5,6,9\nbroken\n", max_requests=3)
    assert seen(trace)[2:] == [(5, 6, 9)]


def test_the_first_rows_of_a_large_file_are_its_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarmplan.scenarios.trace.MAX_BYTES", 10)
    one = read(tmp_path, CSV + "9,9,9\n", max_requests=2)
    same = read(tmp_path, CSV + "8,8,8\n", max_requests=2)
    other = read(tmp_path, CSV.replace("2.5", "2.6"), max_requests=2)
    assert one.content == same.content != other.content


@pytest.mark.skipif(is_installed("parquet"), reason="the part is there")
def test_a_parquet_file_asks_for_its_part(tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"'t.parquet' is a Parquet file.*\[parquet\]"):
        read(tmp_path, b"PAR1....", "t.parquet")


def test_a_parquet_file_is_read_with_its_part(tmp_path: Path) -> None:
    needs("parquet")
    import pyarrow
    from pyarrow import parquet

    columns = {
        "TIMESTAMP": pyarrow.array([0, 3_000_000_000], pyarrow.timestamp("ns", tz="UTC")),
        "ContextTokens": [9, 8],
        "GeneratedTokens": [4.0, 3.0],
        "hash_ids": [[1], [2]],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "made.parquet")
    trace = read(tmp_path, (tmp_path / "made.parquet").read_bytes(), "t.parquet")
    assert seen(trace) == [(0, 9, 4), (3, 8, 3)]
    assert "no Parquet file that can be read" in told(tmp_path, b"PAR1....", "t.parquet")
