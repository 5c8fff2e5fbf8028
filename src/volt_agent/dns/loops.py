"""An upstream server that asks us: each question would go round until somebody gives up.

Asking a server that is one of our own gateways is avoided by looking at its address. A loop over
another resolver (the host's own, perhaps, which asks volt) cannot be seen so. Coalescing keeps it
from multiplying, but nothing is ever answered, and the server looks silent. A server that falls
silent is therefore sent a question that nobody else would ask; if that comes in at one of our own
gateways, it is a loop.
"""

from __future__ import annotations

import os

from . import wire
from .health import Upstream
from .question import Question

# ICANN reserved .internal for private use in 2024, so the question means nothing to anybody else.
_SUFFIX = (b"loop", b"volt", b"internal")
_TXT = 16
# How often a silent server is suspected (seconds).
SUSPECT_EVERY = 60.0


class Loops:
    """Makes the questions that give loops away, and knows them again."""

    def __init__(self) -> None:
        self._asked: dict[bytes, Upstream] = {}
        self._suspected: dict[Upstream, float] = {}
        self.found: set[Upstream] = set()

    def suspect(self, upstream: Upstream, now: float) -> Question | None:
        """The question to send to `upstream`, which is silent; None if that was done lately."""
        if now - self._suspected.get(upstream, float("-inf")) < SUSPECT_EVERY:
            return None
        self._suspected[upstream] = now
        self._asked = {name: each for name, each in self._asked.items() if each != upstream}
        name = wire.name_from_labels((os.urandom(8).hex().encode(), *_SUFFIX))
        self._asked[name] = upstream
        return Question(name, _TXT, False, False)

    def origin(self, question: Question) -> Upstream | None:
        """The server through which `question` came back to us, if it is one of those."""
        return self._asked.get(question.name)

    def forget(self) -> None:
        """Start afresh: the configuration may be another."""
        self._asked.clear()
        self._suspected.clear()
        self.found.clear()
