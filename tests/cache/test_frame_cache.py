import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.cache import FrameCache


def frame(value=0, size=10):
    return np.full((size, 1, 3), value, np.uint8)  # 3 * size bytes


def test_what_is_put_in_comes_out():
    cache = FrameCache()
    assert cache.get(b"a") is None
    cache.put(b"a", frame(7))
    found = cache.get(b"a")
    assert found is not None
    np.testing.assert_array_equal(found, frame(7))
    assert (len(cache), cache.bytes_used) == (1, 30)


def test_nobody_can_change_a_stored_frame():
    cache = FrameCache()
    given_in = frame(1)
    cache.put(b"a", given_in)
    given_in[:] = 99
    taken = cache.get(b"a")
    assert taken is not None
    taken[:] = 98
    again = cache.get(b"a")
    assert again is not None
    np.testing.assert_array_equal(again, frame(1))


def test_a_view_is_stored_without_what_it_is_a_view_of():
    cache = FrameCache()
    batch = np.arange(300, dtype=np.uint8).reshape(10, 10, 1, 3)
    cache.put(b"a", batch[3])
    found = cache.get(b"a")
    assert found is not None
    np.testing.assert_array_equal(found, batch[3])
    assert cache.memory._frames[b"a"].base is None


def test_the_longest_unread_is_forgotten_first():
    cache = FrameCache(memory_bytes=90)
    for key in (b"a", b"b", b"c"):
        cache.put(key, frame())
    cache.get(b"a")  # reading counts as use
    cache.put(b"d", frame())
    assert cache.get(b"b") is None
    assert all(cache.get(key) is not None for key in (b"a", b"c", b"d"))
    cache.put(b"a", frame(1))  # and so does writing
    cache.put(b"e", frame())
    assert cache.get(b"c") is None
    assert cache.get(b"a") is not None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 40), st.booleans())))
def test_it_agrees_with_a_plain_list_in_order_of_use(operations):
    cache = FrameCache(memory_bytes=150)
    model: dict[bytes, int] = {}  # in order of use, the longest unread first
    for name, size, is_put in operations:
        key = name.encode()
        if not is_put:
            found = cache.get(key)
            assert (None if found is None else found.size // 3) == model.get(key)
            if key in model:
                model[key] = model.pop(key)
        elif 3 * size <= 150:
            cache.put(key, frame(size=size))
            model.pop(key, None)
            model[key] = size
            while 3 * sum(model.values()) > 150:
                del model[next(iter(model))]
        assert cache.bytes_used == 3 * sum(model.values()) <= 150
        assert len(cache) == len(model)


def test_a_frame_larger_than_the_budget_is_not_stored_and_evicts_nothing():
    cache = FrameCache(memory_bytes=50)
    cache.put(b"a", frame())
    cache.put(b"b", frame(size=100))
    assert cache.get(b"b") is None
    assert cache.get(b"a") is not None


def test_no_budget_keeps_nothing():
    cache = FrameCache(memory_bytes=0)
    cache.put(b"a", frame())
    assert (len(cache), cache.bytes_used) == (0, 0)


def test_a_negative_budget_is_refused():
    with pytest.raises(ValueError, match="memory_bytes must not be negative, received -1"):
        FrameCache(memory_bytes=-1)


def test_clear_forgets_everything():
    cache = FrameCache()
    cache.put(b"a", frame())
    cache.clear()
    assert (len(cache), cache.bytes_used, cache.get(b"a")) == (0, 0, None)


def test_threads_read_whole_frames_and_keep_the_bound():
    cache = FrameCache(memory_bytes=300)
    errors = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(2000):
            value = int(rng.integers(20))
            key = b"%d" % value
            if rng.random() < 0.5:
                cache.put(key, frame(value))
            else:
                found = cache.get(key)
                if found is not None and not np.all(found == value):
                    errors.append(key)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert cache.bytes_used == 30 * len(cache) <= 300
