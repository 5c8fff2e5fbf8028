"""One attempt: from an order that is due to a certificate on disk.

The only module that goes through an order; `order` says what comes next, `conversation` talks to
the CA in a worker thread, and what must not be forgotten is on disk before the next step.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from .order import Phase, next_step, pause
from .problem import OrderFailed, Problem
from .workers import Workers

if TYPE_CHECKING:
    from .conversation import Challenge, Conversation, Progress

log = logging.getLogger(__name__)

# Seconds that a CA may take from the order to the certificate. The order is kept: the next try asks
# again what became of it.
DECIDE_WITHIN = 300.0
_UNDECIDED = Problem("timeout", f"the CA has not decided within {DECIDE_WITHIN / 60:.0f} minutes")
_UNEXPLAINED = Problem("order", "the CA refused the order without a reason", is_final=True)


class Course:
    """An order for `host`, once the CA has it. `offer(challenge)` makes its answer be served;
    `enter(phase)` is told how far it is."""

    def __init__(
        self,
        host: str,
        key: str,
        conversation: Conversation,
        workers: Workers,
        offer: Callable[[Challenge], None],
        enter: Callable[[Phase], None],
    ) -> None:
        self._host, self._key = host, key.encode()
        self._conversation, self._workers = conversation, workers
        self._offer, self._enter = offer, enter
        self._has_answered = False

    async def run(self, url: str) -> bytes:
        """The certificate with its chain (PEM). Raises OrderFailed."""
        try:
            async with asyncio.timeout(DECIDE_WITHIN):
                return await self._follow(url)
        except TimeoutError:
            raise OrderFailed(_UNDECIDED) from None

    async def _follow(self, url: str) -> bytes:
        looks = 0
        while True:
            progress = await self._workers.ask(self._conversation.look, url)
            chain = await self._take_step(progress)
            if chain is not None:
                return chain
            await asyncio.sleep(pause(looks, progress.retry_after))
            looks += 1

    async def _take_step(self, progress: Progress) -> bytes | None:
        authorisation = progress.authorisation
        if self._has_answered and authorisation == "pending":
            authorisation = "processing"  # most CAs do not tell
        step, phase = next_step(progress.status, authorisation)
        self._enter(phase)
        ask, conversation = self._workers.ask, self._conversation
        if progress.challenge is not None:
            self._offer(progress.challenge)
        if step == "answer" and progress.challenge is not None:
            await ask(conversation.answer, progress.challenge)
            self._has_answered = True
        elif step == "finalise":
            await ask(conversation.finalise, progress.finalize, self._host, self._key)
        elif step == "download" and progress.certificate is not None:
            return await ask(conversation.download, progress.certificate)
        elif step != "wait":
            raise OrderFailed(progress.problem or _UNEXPLAINED)
        return None
