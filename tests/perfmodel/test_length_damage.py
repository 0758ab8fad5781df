"""Files of predictors and online quantiles that are damaged: one clear message, never a figure."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from swarmplan.cli import main
from swarmplan.core.errors import CalibrationError
from swarmplan.perfmodel.length.features import HASHED, LEXICAL
from swarmplan.perfmodel.length.las import LasHead
from swarmplan.perfmodel.length.online import OnlineQuantiles
from swarmplan.perfmodel.length.online_files import read_online, write_online
from swarmplan.perfmodel.length.parts import las_of
from swarmplan.perfmodel.length.predictor import load, save, shipped, train
from swarmplan.perfmodel.length.sound import Unsound
from swarmplan.perfmodel.length.store import FORMAT, ONLINE, read_arrays, write_arrays
from swarmplan.perfmodel.length.update import update
from swarmplan.tests.perfmodel.test_length_update import answers, together

Arrays = dict[str, NDArray[Any]]
Reads = Callable[[Path], object]


@cache
def predictor_parts(folder: Path) -> tuple[Arrays, dict[str, Any], bytes]:
    """Arrays, card and bytes of a predictor that was trained and updated."""
    known = together(answers(60, "a", 4.0, 1), answers(60, "b", 5.0, 2))
    found, _ = update(train(known, "lexical").predictor, answers(30, "new", 6.0))
    save(found, folder / "p")
    return _parts(folder / "p", FORMAT)


@cache
def online_parts(folder: Path) -> tuple[Arrays, dict[str, Any], bytes]:
    """The same of online quantiles."""
    online = OnlineQuantiles()
    for model in ("a", "b"):
        for tokens in range(10, 50):
            online.observe(model, tokens)
    write_online(online, folder / "o")
    return _parts(folder / "o", ONLINE)


def _parts(path: Path, form: str) -> tuple[Arrays, dict[str, Any], bytes]:
    arrays, card = read_arrays(path, form)
    card.pop("format")
    return {n: a.copy() for n, a in arrays.items()}, card, path.read_bytes()


KINDS: dict[str, tuple[Callable[[Path], tuple[Arrays, dict[str, Any], bytes]], Reads, str]] = {
    "predictor": (predictor_parts, load, FORMAT),
    "online": (online_parts, read_online, ONLINE),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


def refused(read: Reads, path: Path, *words: str) -> None:
    """One line that names the file and what is wrong."""
    with pytest.raises(CalibrationError) as error:
        read(path)
    message = str(error.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 400 + len(str(path))
    assert message.startswith(f"{path}: ")
    for word in words:
        assert word in message


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_byte_anywhere_is_noticed(kind: str, folder: Path, tmp_path: Path) -> None:
    parts, read, _ = KINDS[kind]
    raw = parts(folder)[2]
    rng = np.random.default_rng(0)
    for _ in range(300):
        at = int(rng.integers(len(raw)))
        damaged = bytearray(raw)
        damaged[at] ^= int(rng.integers(1, 256))
        path = tmp_path / "x"
        path.write_bytes(damaged)
        refused(read, path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_short_padded_or_of_noise_is_refused(
    kind: str, folder: Path, tmp_path: Path
) -> None:
    parts, read, _ = KINDS[kind]
    raw = parts(folder)[2]
    rng = np.random.default_rng(1)
    cut = [raw[:n] for n in (0, 1, 7, 8, 9, 100, len(raw) // 2, len(raw) - 1)]
    noise = [rng.bytes(n) for n in (8, 100, 5_000)]
    zeros = [bytes(1_000), (20).to_bytes(8, "little") + bytes(1_000), b"[" * 70_000]
    deep = b'{"__metadata__":' + b"[" * 50_000
    for content in (*cut, *noise, *zeros, raw + b"x", len(deep).to_bytes(8, "little") + deep):
        path = tmp_path / "x"
        path.write_bytes(content)
        refused(read, path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("kind", KINDS)
def test_a_value_that_is_no_sensible_number_is_named_by_its_array(
    kind: str, value: float, folder: Path, tmp_path: Path
) -> None:
    parts, read, form = KINDS[kind]
    arrays, card, _ = parts(folder)
    floats = [name for name, array in arrays.items() if array.dtype.kind == "f"]
    assert len(floats) >= 4
    for name in floats:
        damaged = {n: a.copy() for n, a in arrays.items()}
        damaged[name].flat[damaged[name].size // 2] = value
        write_arrays(tmp_path / "x", damaged, card, form)
        refused(read, tmp_path / "x", name)


@pytest.mark.parametrize("kind", KINDS)
def test_an_array_that_is_missing_or_of_another_shape_or_type_is_named(
    kind: str, folder: Path, tmp_path: Path
) -> None:
    parts, read, form = KINDS[kind]
    arrays, card, _ = parts(folder)
    path = tmp_path / "x"
    for name, array in arrays.items():
        rest = {n: a for n, a in arrays.items() if n != name}
        if name != "left_out":  # Files of earlier versions have none.
            write_arrays(path, rest, card, form)
            refused(read, path)
        write_arrays(path, {**rest, name: array[None]}, card, form)
        refused(read, path)
        longer = np.concatenate([array, array[-1:]])
        write_arrays(path, {**rest, name: longer}, card, form)
        refused(read, path)
        if array.dtype.kind == "i":
            write_arrays(path, {**rest, name: array.astype(np.float64)}, card, form)
            refused(read, path, name)
            write_arrays(path, {**rest, name: array - 10**13}, card, form)
            refused(read, path, name)
    write_arrays(path, {**arrays, "more": np.zeros(1)}, card, form)
    refused(read, path, "more")


@pytest.mark.parametrize("kind", KINDS)
def test_a_card_that_says_something_else_is_refused(
    kind: str, folder: Path, tmp_path: Path
) -> None:
    parts, read, form = KINDS[kind]
    arrays, card, _ = parts(folder)
    path = tmp_path / "x"
    for name in card:
        if name in ("width", "prior_bias"):  # of the network alone
            continue
        for wrong in (None, 7.5, "nonsense\nhere", [], ["a", "a", "a"], {"a": 1}, [0.5]):
            if card[name] == wrong or (name, type(wrong)) in (
                ("bias", float),
                ("encoder", str),
                ("about", dict),
            ):
                continue
            write_arrays(path, arrays, {**card, name: wrong}, form)
            refused(read, path)
        write_arrays(path, arrays, {n: v for n, v in card.items() if n != name}, form)
        refused(read, path)


def test_quantiles_that_fall_and_centres_out_of_order_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    arrays, card, _ = predictor_parts(folder)
    for name in ("maps.tables", "maps.pooled", "maps.constant", "maps.centres", "maps.edges"):
        damaged = {**arrays, name: arrays[name][..., ::-1]}
        write_arrays(tmp_path / "x", damaged, card)
        refused(load, tmp_path / "x", name)
    write_arrays(tmp_path / "x", {**arrays, "maps.spread": 0 * arrays["maps.spread"]}, card)
    refused(load, tmp_path / "x", "maps.spread", "above 0")


def test_a_header_with_absurd_sizes_is_refused_without_using_memory(
    folder: Path, tmp_path: Path
) -> None:
    raw = predictor_parts(folder)[2]
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    header["__metadata__"].pop("sha256")
    entries: tuple[Any, ...] = (
        {"dtype": "F32", "shape": [10**12, 10**12], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 10**18]},
        {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]},
        {"dtype": "F32", "shape": [1] * 200, "data_offsets": [0, 4]},
        {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1e400], "data_offsets": [0, 4]},
        {"shape": [1], "data_offsets": [0, 4]},
        [],
        None,
    )
    for entry in entries:
        text = json.dumps({**header, "maps.place": entry}).encode()
        (tmp_path / "x").write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + size :])
        refused(load, tmp_path / "x", "maps.place")


def test_a_file_too_large_and_a_file_of_another_kind_are_named(
    folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.truncate(65 * 2**20)
    refused(load, path, "larger than 64 MiB")
    big = {"x": np.zeros(8 * 2**20)}
    refused(lambda p: write_arrays(p, big, {}), tmp_path / "y", "would be larger than 64 MiB")
    assert not (tmp_path / "y").exists()
    predictor_parts(folder)
    online_parts(folder)
    refused(load, folder / "o", "has format 'swarmplan/length-online/1'")
    refused(read_online, folder / "p", "has format 'swarmplan/length/2'")


def test_files_without_a_digest_are_still_read(folder: Path, tmp_path: Path) -> None:
    raw = predictor_parts(folder)[2]
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    del header["__metadata__"]["sha256"]
    text = json.dumps(header).encode()
    (tmp_path / "x").write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + size :])
    assert load(tmp_path / "x").maps.models == ("a", "b", "new")
    assert shipped().kind == "lexical"


def network(members: int = 2, width: int = 4) -> tuple[Arrays, int]:
    """Arrays of a small modulated network, and the width of its view."""
    view, rng = 2 * width + LEXICAL, np.random.default_rng(0)
    shapes = {
        "mean": (view,),
        "scale": (view,),
        "squeeze": (3, 2 * width),
        "bias_squeeze": (3,),
        "excite": (width, 3),
        "bias_excite": (width,),
        "weight_in": (5, view),
        "bias_in": (5,),
        "weight_out": (1, 5),
        "bias_out": (1,),
    }
    return {f"las.{n}": rng.normal(size=(members, *s)) for n, s in shapes.items()}, view


def test_every_array_of_the_network_is_looked_at() -> None:
    arrays, view = network()
    head = las_of(arrays, {"width": 4}, "las", view)
    assert isinstance(head, LasHead)
    assert np.isfinite(head(np.zeros((3, view)))).all()
    for name in arrays:
        for wrong in (
            {n: a for n, a in arrays.items() if n != name},
            {**arrays, name: arrays[name] * np.nan},
            {**arrays, name: arrays[name][:, :0]},
            {**arrays, name: arrays[name][:1]},
        ):
            with pytest.raises(Unsound, match="las"):
                las_of(wrong, {"width": 4}, "las", view)
    with pytest.raises(Unsound, match="kind lexical"):
        las_of(arrays, {"width": 4}, "lexical", view)
    for width in (0, -3, 1e9, None, "4", float("nan")):
        with pytest.raises(Unsound, match="width"):
            las_of(arrays, {"width": width}, "las", view)
    assert las_of({}, {}, "lexical", LEXICAL + HASHED) is None


@pytest.mark.parametrize("command", ["predict", "update"])
def test_commands_end_with_one_message_and_exit_code_2(
    command: str, folder: Path, tmp_path: Path
) -> None:
    arrays, card, _ = predictor_parts(folder)
    damaged = {**arrays, "maps.tables": arrays["maps.tables"] * np.float32(np.nan)}
    path, seen = tmp_path / "bad", tmp_path / "s.jsonl"
    write_arrays(path, damaged, card)
    seen.write_text('{"prompt": "a", "model": "m", "output_tokens": 3}\n')
    words = {
        "predict": ["--predictor", str(path), "--prompt", "x"],
        "update": [str(path), str(seen), "-o", str(tmp_path / "q")],
    }[command]
    result = CliRunner().invoke(main, ["length", command, *words])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("error:") == 1
    assert f"{path}: maps.tables has " in result.stderr
    assert "train it again" in result.stderr
    assert not (tmp_path / "q").exists()
