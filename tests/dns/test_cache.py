"""The book-keeping of finished tails."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from volt_agent.dns.cache import TailCache, Tails


def test_a_kept_tail_is_where_the_listener_looks() -> None:
    """In the view's own dictionary."""
    tails: Tails = {}
    cache = TailCache(limit=10, per_name=10)
    cache.keep(tails, b"key", b"name", b"tail")
    assert tails == {b"key": b"tail"}
    assert len(cache) == 1


def test_dropping_a_name_drops_it_in_all_views() -> None:
    """Every form of every question about it, and nothing else."""
    one: Tails = {}
    two: Tails = {}
    cache = TailCache(limit=10, per_name=10)
    for key in (b"a", b"b"):
        cache.keep(one, key, b"name", b"tail")
        cache.keep(two, key, b"name", b"tail")
    cache.keep(two, b"c", b"other", b"tail")
    assert cache.drop(b"name") == 4
    assert (one, two, len(cache)) == ({}, {b"c": b"tail"}, 1)
    assert cache.drop(b"name") == 0


def test_names_without_tails_are_no_matter() -> None:
    """A change touches names that nobody may have asked for."""
    tails: Tails = {}
    cache = TailCache(limit=10, per_name=10)
    for name in (b"a", b"b", b"c"):
        cache.keep(tails, name, name, b"tail")
    assert cache.drop_all({b"a", b"b", b"z"}) == 2
    assert tails == {b"c": b"tail"}


def test_a_name_asked_in_every_way_pushes_out_its_own_tails_only() -> None:
    """The bound for each name, which also bounds what a drop costs."""
    tails: Tails = {}
    cache = TailCache(limit=100, per_name=4)
    cache.keep(tails, b"mine", b"mine", b"tail")
    for i in range(50):
        cache.keep(tails, b"%d" % i, b"theirs", b"tail")
    assert b"mine" in tails
    assert cache.drop(b"theirs") <= 4


def test_the_oldest_names_make_room() -> None:
    """Over the limit, those asked first go first."""
    tails: Tails = {}
    cache = TailCache(limit=3, per_name=4)
    for i in range(5):
        cache.keep(tails, b"%d" % i, b"%d" % i, b"tail")
    assert list(tails) == [b"2", b"3", b"4"]


def test_keeping_again_replaces() -> None:
    """A tail that died is kept anew under the same key."""
    tails: Tails = {}
    cache = TailCache(limit=3, per_name=4)
    cache.keep(tails, b"key", b"name", b"old")
    cache.keep(tails, b"key", b"name", b"new")
    assert (tails, len(cache), cache.clear(), tails) == ({}, 1, 1, {})


_NAMES = st.sampled_from([b"a", b"b", b"c", b"d"])
_STEPS = st.lists(st.tuples(st.sampled_from(["keep", "drop"]), _NAMES, st.integers(0, 5)))


@given(_STEPS)
def test_the_books_are_right(steps: list[tuple[str, bytes, int]]) -> None:
    """What is counted is what is there, and the limits hold, whatever happens."""
    tails: Tails = {}
    cache = TailCache(limit=6, per_name=3)
    for step, name, number in steps:
        if step == "keep":
            cache.keep(tails, name + b"%d" % number, name, b"tail")
        else:
            cache.drop(name)
            assert not any(key.startswith(name) for key in tails)
        assert len(cache) == len(tails) <= 6
