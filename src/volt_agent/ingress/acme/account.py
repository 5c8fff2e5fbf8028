"""Opening a conversation with a CA: the account is made once, whoever comes first.

Its key is on disk before the CA hears of it. So an agent that is killed in between finds the same
account again, by its key (RFC 8555, section 7.3.1), instead of making another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ...config import AcmeSection
from .ledger import Account
from .storage import Storage

if TYPE_CHECKING:
    from .conversation import Conversation, Terms

log = logging.getLogger(__name__)


def open_conversation(
    storage: Storage, settings: AcmeSection, account: Account, clock: Callable[[], float]
) -> tuple[Conversation, Terms, Account]:
    """Blocks. At most one at a time while the account has no URI yet, or another mail address.

    Raises OrderFailed, and OSError if the account cannot be kept.
    """
    from .conversation import Conversation, new_key

    key = storage.account_key(settings.url)
    if key is None:
        key = new_key()
        storage.save_account_key(settings.url, key)
    conversation = Conversation(settings, key, clock)
    terms = conversation.open()
    return conversation, terms, _signed_in(conversation, storage, settings, account)


def is_settled(account: Account, settings: AcmeSection) -> bool:
    """Whether the CA knows the account as it is configured."""
    eab_kid = settings.eab.kid if settings.eab is not None else None
    return account.uri is not None and (account.email, account.eab_kid) == (settings.email, eab_kid)


def _signed_in(
    conversation: Conversation, storage: Storage, settings: AcmeSection, account: Account
) -> Account:
    if account.uri is not None and is_settled(account, settings):
        conversation.use_account(account.uri)
        return account
    known = account.uri is not None
    uri = conversation.register()
    if known and account.email != settings.email:
        conversation.update_contact(uri)
    eab_kid = settings.eab.kid if settings.eab is not None else None
    account = replace(account, uri=uri, email=settings.email, eab_kid=eab_kid)
    storage.save_account(account)
    log.info("the ACME account is %s", uri)
    return account
