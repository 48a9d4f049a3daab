"""Two lanes convert at once, tell what they did one at a time, and stop together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets.lanes import convert_in_lanes
from stemob_wrappers.datasets.part import Part
from stemob_wrappers.datasets.pictures.source import PicturesSource
from stemob_wrappers.datasets.stems import CorruptSourceError, Item, Stems

SECONDS = 60.0  # after which a lane that waits in vain fails


@dataclass
class Reader:
    """A source of items that do what their functions say."""

    work: dict[str, Callable[[Stems, Callable[[int], None]], None]]
    has_lanes: bool = True

    def stamp(self, item: Item, *, content: bool = True) -> str:
        return ""

    def convert(
        self, item: Item, stems: Stems, part: Path, advance: Callable[[int], None]
    ) -> list[str]:
        part.write_text(item.source)
        self.work[item.name](stems, advance)
        return []


@pytest.fixture(scope="module")
def stems() -> Stems:
    return Stems(StemConfig(inversion_steps=5))


def run(reader: Reader, stems: Stems, folder: Path) -> dict[str, Part | str]:
    made: dict[str, Part | str] = {}
    paths = {Item(name, name): folder / name for name in reader.work}
    convert_in_lanes(
        reader, paths, stems, lambda item, part: made.update({item.name: part}), lambda _: None
    )
    return made


def test_two_items_are_converted_at_once_each_with_a_memory_of_its_own(
    stems: Stems, tmp_path: Path
) -> None:
    both, seen = threading.Barrier(2, timeout=SECONDS), []

    def meet(mine: Stems, advance: Callable[[int], None]) -> None:
        both.wait()
        seen.append((id(mine.cache), id(mine.pipelines[0].cache), id(mine.pipelines[0].inverter)))

    made = run(Reader({"a": meet, "b": meet}), stems, tmp_path)
    assert sorted(made) == ["a", "b"]
    caches, of_pipelines, inverters = map(set, zip(*seen, strict=True))
    assert caches == of_pipelines
    assert (len(caches), len(inverters)) == (2, 1)


def test_what_cannot_be_read_costs_its_item_alone(stems: Stems, tmp_path: Path) -> None:
    def fail(stems: Stems, advance: Callable[[int], None]) -> None:
        raise CorruptSourceError("torn")

    def do(stems: Stems, advance: Callable[[int], None]) -> None:
        advance(1)

    made = run(Reader({"a": do, "b": fail, "c": do}), stems, tmp_path)
    assert made["b"] == "b: torn"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]


@pytest.mark.parametrize("error", [OSError("the disk is full"), KeyboardInterrupt()])
@pytest.mark.parametrize("in_main", [True, False])
def test_an_error_in_one_lane_stops_the_other_at_its_next_block(
    stems: Stems, tmp_path: Path, error: BaseException, in_main: bool
) -> None:
    both, failed = threading.Barrier(2, timeout=SECONDS), threading.Event()

    def meet(stems: Stems, advance: Callable[[int], None]) -> None:
        both.wait()
        if (threading.current_thread() is threading.main_thread()) == in_main:
            failed.set()
            raise error
        assert failed.wait(SECONDS)
        while True:
            advance(1)

    with pytest.raises(type(error)):
        run(Reader({"a": meet, "b": meet, "c": meet}), stems, tmp_path)
    assert list(tmp_path.iterdir()) == []  # nothing half-written, and "c" was not begun


def test_a_source_that_two_threads_cannot_read_is_read_by_one(stems: Stems, tmp_path: Path) -> None:
    threads = []

    def note(stems: Stems, advance: Callable[[int], None]) -> None:
        threads.append(threading.current_thread())

    run(Reader(dict.fromkeys("abc", note), has_lanes=False), stems, tmp_path)
    assert threads == [threading.main_thread()] * 3


def test_a_folder_of_pictures_is_read_by_one_thread(tmp_path: Path) -> None:
    """A warning of the other thread would become an error while a picture is read."""
    assert not PicturesSource(tmp_path).has_lanes
