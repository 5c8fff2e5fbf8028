"""How TLS is spoken: Mozilla's intermediate profile (Server Side TLS 5.7).

TLS 1.2 and 1.3, only cipher suites with forward secrecy and authenticated encryption, the curves
X25519, P-256 and P-384, no compression, no renegotiation, no early data. The client chooses among
the suites, since it knows whether it has AES in hardware. The profile's DHE suites are left out:
who cannot do ECDHE is older than TLS 1.2, and DHE lets strangers make us compute for nothing.
"""

from __future__ import annotations

import _ssl
import ctypes
import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from .certificate import Certificate

log = logging.getLogger(__name__)

# Those of TLS 1.3 are all in the profile.
_SUITES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
PROTOCOL = "http/1.1"
_NO_RENEGOTIATION = 1 << 30  # ssl.OP_NO_RENEGOTIATION, but in mypy's view of 3.11 as well

# For every context of the process that is made from now on; the first two lines are Debian's.
_DEFAULTS = b"""
volt = modules
[modules]
ssl_conf = applications
[applications]
system_default = defaults
[defaults]
MinProtocol = TLSv1.2
CipherString = DEFAULT:@SECLEVEL=2
Groups = X25519:P-256:P-384
"""


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """A context for connections of clients. Takes 1 ms; raises ssl.SSLError."""
    set_groups()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SUITES)
    context.options |= ssl.OP_NO_COMPRESSION | _NO_RENEGOTIATION
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols([PROTOCOL])
    # What was checked is what is used, whatever happens to the files meanwhile.
    with _in_memory(certificate.pem) as path:
        context.load_cert_chain(path)
    return context


@cache
def set_groups() -> bool:
    """Limit the curves, once for the process. False where that is impossible: OpenSSL's own list
    is then used, which has two more.

    Python's ssl can name one curve only. OpenSSL's configuration can name all, and Python's own
    extension module leads to the very library that it uses.
    """
    try:
        configure = ctypes.CDLL(_ssl.__file__).CONF_modules_load_file
    except (AttributeError, OSError):
        log.warning("OpenSSL cannot be told which curves to use: its own list is used")
        return False
    configure.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong]
    with _in_memory(_DEFAULTS) as path:
        is_done: bool = configure(path.encode(), b"volt", 0) == 1
    if not is_done:
        log.warning("OpenSSL refused the list of curves: its own is used")
    return is_done


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A file that is on no disk, for libraries that take nothing but paths."""
    with open(os.memfd_create("volt", os.MFD_CLOEXEC), "wb", buffering=0) as file:
        file.write(content)
        yield f"/proc/self/fd/{file.fileno()}"
