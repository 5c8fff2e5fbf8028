"""Model = kernel: what the model says of a connection is what becomes of a real packet.

Random states, every ordered pair, tcp, udp and ping; see `states`, `probes` and `world`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.firewall.property.bench import Bench
from tests.firewall.property.states import ATTEMPTS, State, states, without_one
from volt_agent.model.host import HostPolicy

pytestmark = pytest.mark.kernel

_SHOWN = 12


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def agree(bench: Bench, state: State) -> None:
    """Fail with the smallest state and what differs there, if anything does in `state`."""
    bench.load(state)
    if not bench.disagreements():
        return
    bench.restore()
    by_steps = "" if bench.disagreements() else "(not once everything was loaded anew)\n"
    state = state if by_steps else smallest(bench, state)
    bench.load(state)
    found = bench.disagreements()
    shown = "\n".join(f"  {each}" for each in found[:_SHOWN])
    head = f"{len(found)} of {len(ATTEMPTS)} attempts differ\n{by_steps}"
    pytest.fail(f"{head}{shown}\nin this state:\n{state}", pytrace=False)


def smallest(bench: Bench, state: State) -> State:
    """Leave out what can be left out while there is a disagreement.

    A dozen tries; hypothesis, which knows nothing of rules, takes minutes for the same.
    """
    for smaller in without_one(state):
        bench.load(smaller)
        if bench.disagreements():
            return smallest(bench, smaller)
    return state


_settings = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # see `smallest`
    database=None,
    print_blob=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def run(bench: Bench, examples: int) -> int:
    """Try `examples` states; returns how many attempts were made."""
    before = bench.attempts

    @settings(_settings, max_examples=examples)
    @given(states)
    def check(state: State) -> None:
        agree(bench, state)

    check()
    return bench.attempts - before


def test_default_policy(bench: Bench) -> None:
    """Without any rule, policy or forward."""
    agree(bench, State(HostPolicy()))


def test_model_and_kernel_agree(bench: Bench) -> None:
    """No disagreement in 10,000 attempts."""
    assert run(bench, 20) >= 10_000


@pytest.mark.long
def test_model_and_kernel_agree_at_length(bench: Bench) -> None:
    """No disagreement in 200,000 attempts."""
    assert run(bench, 150) >= 200_000
