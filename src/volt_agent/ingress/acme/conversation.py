"""A conversation with a CA, by the `acme` package. Everything blocks: for worker threads only.

Imported there and late: the package and what it needs take a third of a second.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import acme.client
import acme.crypto_util
import acme.errors
import acme.messages
import josepy.errors
import requests
from acme.challenges import HTTP01Response
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.b64 import b64encode
from josepy.jwa import ES256
from josepy.jwk import JWKEC
from msgspec import MsgspecError, Struct, field, json

from ... import __version__
from ...config import AcmeSection
from .problem import OrderFailed, Problem
from .translate import problem_of, refusal, retry_seconds, server_time

_TIMEOUT = 15.0  # seconds that a CA may be silent
# The longest answer that is read; the longest that makes sense is a chain, of some 10 KB.
_ANSWER_MAX = 1024 * 1024
# A CA that refuses half of all nonces refuses this many in a row once in a million.
_NONCES = 20
# Where a host's clock is further off than this, certificates seem to be expired or not yet valid.
_SKEW_MAX = 86400.0
_token = re.compile(r"[A-Za-z0-9_-]{1,256}")


class Terms(Struct, frozen=True):
    """What a directory says of the CA: the names by which it goes in CAA records, and whether it
    suggests when to renew (RFC 9773)."""

    caa_identities: tuple[str, ...] = ()
    suggests_renewal: bool = False


class Challenge(Struct, frozen=True):
    """An HTTP-01 challenge (RFC 8555, section 8.3): `answer` is to be found under `token`."""

    url: str
    token: str
    answer: str


class Progress(Struct, frozen=True):
    """What a CA says of an order; statuses as in `order`."""

    status: str
    authorisation: str
    challenge: Challenge | None
    finalize: str
    certificate: str | None
    problem: Problem | None
    retry_after: float | None


class _Challenge(Struct):
    type: str
    url: str = ""
    token: str = ""
    status: str = "pending"
    error: dict[str, Any] | None = None


class _Authorisation(Struct):
    status: str
    challenges: list[_Challenge] = field(default_factory=list)


class _Order(Struct):
    status: str
    authorizations: list[str]
    finalize: str
    certificate: str | None = None
    error: dict[str, Any] | None = None


class Conversation:
    """With the CA of `settings`, as the account whose private key (PEM) is `key`. `open` first,
    then `register` or `use_account`. Raises OrderFailed."""

    def __init__(
        self, settings: AcmeSection, key: bytes, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings, self._clock = settings, clock
        self._key = JWKEC(key=_account_key(key))
        self._net = _Network(self._key, settings.ca_bundle)
        self._client: acme.client.ClientV2 | None = None

    def open(self) -> Terms:
        """Read the directory."""
        with self._translated("directory"):
            directory = acme.client.ClientV2.get_directory(self._settings.url, self._net)
            for name in ("newNonce", "newAccount", "newOrder"):
                if not isinstance(directory[name], str):
                    raise TypeError(name)
            identities = tuple(map(str, directory["meta"].caa_identities or ()))
            self._client = acme.client.ClientV2(directory, self._net)
        self._check_clock()
        return Terms(identities, "renewalInfo" in directory.to_partial_json())

    def register(self) -> str:
        """The URI of the account: a new one, or that of this key. Agrees to the terms of the CA."""
        with self._translated("account"):
            body = acme.messages.NewRegistration.from_data(
                email=self._settings.email,
                terms_of_service_agreed=True,
                external_account_binding=self._binding(),
            )
            try:
                uri = str(self._acme.new_account(body).uri)
            except acme.errors.ConflictError as error:
                uri = str(error.location)
        self.use_account(uri)
        return uri

    def use_account(self, uri: str) -> None:
        self._net.account = acme.messages.RegistrationResource(
            uri=uri, body=acme.messages.Registration()
        )

    def update_contact(self, uri: str) -> None:
        """Tell the CA the present mail address."""
        email = self._settings.email
        with self._translated("account"):
            contact = () if email is None else (f"mailto:{email}",)
            self._post(uri, acme.messages.UpdateRegistration(contact=contact))

    # ---- an order -------------------------------------------------------------------------------

    def place(self, host: str) -> str:
        """Order a certificate; the URL of the order."""
        with self._translated("order"):
            identifier = acme.messages.Identifier(typ=acme.messages.IDENTIFIER_FQDN, value=host)
            order = acme.messages.NewOrder(identifiers=[identifier])
            response = self._post(self._acme.directory["newOrder"], order)
            return str(response.headers["Location"])

    def look(self, url: str) -> Progress:
        """How far the CA is with an order."""
        with self._translated("order"):
            response = self._post(url, None)
            order = json.decode(response.content, type=_Order)
            challenge, status, problem = None, "none", None
            if order.status == "pending":
                challenge, status, problem = self._authorisation(order.authorizations)
            elif order.error is not None:
                problem = refusal(order.error)
            wait = retry_seconds(response.headers.get("Retry-After"), self._clock())
        return Progress(
            order.status, status, challenge, order.finalize, order.certificate, problem, wait
        )

    def answer(self, challenge: Challenge) -> None:
        """Say that the answer is there."""
        with self._translated("order"):
            self._post(challenge.url, HTTP01Response(key_authorization=challenge.answer))

    def finalise(self, finalize: str, host: str, key: bytes) -> None:
        """Send the signing request for the certificate's private `key` (PEM)."""
        with self._translated("order"):
            csr = x509.load_pem_x509_csr(acme.crypto_util.make_csr(key, [host]))
            self._post(finalize, acme.messages.CertificateRequest(csr=csr))

    def download(self, url: str) -> bytes:
        """The certificate with its chain (PEM)."""
        with self._translated("order"):
            return self._post(url, None).content

    # ---- a certificate --------------------------------------------------------------------------

    def suggested_renewal(self, pem: bytes) -> tuple[float | None, float]:
        """When the CA suggests to renew (None: it does not), picked at random in its window, and
        when to ask again: seconds since the epoch."""
        with self._translated("directory"):
            renew_at, ask_at = self._acme.renewal_time(pem)
        return None if renew_at is None else renew_at.timestamp(), ask_at.timestamp()

    def revoke(self, pem: bytes) -> None:
        """Revoke a certificate (reason 0, unspecified); it is none if that was done already."""
        leaf = x509.load_pem_x509_certificates(pem)[0]
        with self._translated("order"):
            try:
                self._acme.revoke(leaf, 0)
            except acme.messages.Error as error:
                if error.code != "alreadyRevoked":
                    raise

    def close(self) -> None:
        self._net.session.close()

    # ---- inside ---------------------------------------------------------------------------------

    @property
    def _acme(self) -> acme.client.ClientV2:
        assert self._client is not None, "open comes first"
        return self._client

    def _post(self, url: str, body: Any) -> requests.Response:
        """A signed POST; without a body one that only reads (RFC 8555, section 6.3)."""
        return self._net.post(url, body, new_nonce_url=self._acme.directory["newNonce"])

    def _authorisation(self, urls: list[str]) -> tuple[Challenge | None, str, Problem | None]:
        """Of the one name of our orders: its challenge for us, its status, and what is wrong."""
        found = json.decode(self._post(urls[0], None).content, type=_Authorisation)
        ours = next((each for each in found.challenges if each.type == "http-01"), None)
        if ours is None or not _token.fullmatch(ours.token):
            raise OrderFailed(
                Problem("order", "the CA does not offer the HTTP-01 challenge", is_final=True)
            )
        thumbprint = self._key.thumbprint(hash_function=hashes.SHA256)
        answer = f"{ours.token}.{b64encode(thumbprint).decode()}"
        is_under_way = found.status == "pending" and ours.status == "processing"
        return (
            Challenge(ours.url, ours.token, answer),
            "processing" if is_under_way else found.status,
            None if ours.error is None else refusal(ours.error),
        )

    def _binding(self) -> dict[str, Any] | None:
        eab = self._settings.eab
        if eab is None:
            return None
        return acme.messages.ExternalAccountBinding.from_data(
            self._key.public_key(), eab.kid, eab.hmac_key.rstrip("="), self._acme.directory
        )

    def _check_clock(self) -> None:
        theirs = server_time(self._net.date)
        skew = 0.0 if theirs is None else self._clock() - theirs
        if abs(skew) > _SKEW_MAX:
            word = "ahead of" if skew > 0 else "behind"
            days = f"{abs(skew) / 86400:.0f} days"
            reason = f"the clock of this host is {days} {word} the CA's: set it"
            raise OrderFailed(Problem("clock", reason, "account"))

    @contextmanager
    def _translated(self, stage: str) -> Iterator[None]:
        try:
            yield
        except OrderFailed:
            raise
        except (
            acme.errors.Error,
            josepy.errors.Error,
            MsgspecError,
            OSError,
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
        ) as error:
            wait = retry_seconds(self._net.retry_after, self._clock())
            raise OrderFailed(problem_of(error, stage, self._settings, wait)) from error


def new_key() -> bytes:
    """A private key for an account or a certificate: ECDSA on P-256, PEM."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _account_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise OrderFailed(
            Problem("account", "the key of the ACME account cannot be read", "account")
        )
    return key


def _bound(response: requests.Response) -> None:
    """Read the body now, before anybody reads it without an end. What was not asked to be packed
    could be anything once it is unpacked."""
    body = response.raw.read(_ANSWER_MAX + 1, decode_content=False)
    if (
        len(body) > _ANSWER_MAX
        or response.headers.get("Content-Encoding", "identity") != "identity"
    ):
        response.close()
        reason = f"the CA answers with more than {_ANSWER_MAX >> 20} MiB, or packed"
        raise OrderFailed(Problem("directory", reason, "account"))
    response.raw = io.BytesIO(body)


class _Network(acme.client.ClientNetwork):
    """Remembers what the last answer said of times, is patient with CAs that refuse nonces, and
    reads no more of an answer than one can have."""

    def __init__(self, key: JWKEC, ca_bundle: str | None) -> None:
        super().__init__(
            key,
            alg=ES256,
            # A path is meant where requests has a flag or a path.
            verify_ssl=ca_bundle or True,  # type: ignore[arg-type]
            user_agent=f"volt-agent/{__version__}",
            timeout=int(_TIMEOUT),
        )
        self.retry_after: str | None = None
        self.date: str | None = None
        self.session.headers["Accept-Encoding"] = "identity"
        self.session.hooks["response"].append(self._note)

    def _note(self, response: requests.Response, *_arguments: Any, **_options: Any) -> None:
        self.retry_after = response.headers.get("Retry-After")
        self.date = response.headers.get("Date")
        _bound(response)

    def post(self, *arguments: Any, **options: Any) -> requests.Response:
        self.retry_after = None
        for _ in range(_NONCES):
            try:
                return self._post_once(*arguments, **options)
            except acme.messages.Error as error:
                if error.code != "badNonce":
                    raise
        return self._post_once(*arguments, **options)
