"""Heads of requests and responses: strictly one reading, or a refusal (RFC 9110, RFC 9112).

One regular expression says what a head may look like at all; the few fields that matter to a proxy
are then looked at one by one. Whatever could be read in two ways is refused, so that the client,
this proxy and the backend cannot disagree about where a message ends:

* a length and a transfer coding together, either of them twice, a length that is not just digits, a
  coding other than `chunked`, any coding in HTTP/1.0 (RFC 9112, sections 6.1 and 6.3)
* lines that end in LF alone, folded lines, space before the colon, control characters
* no host or two in HTTP/1.1, a host that is none, a Connection field that names one of these

The head that is passed on is made here, too: without hop-by-hop fields (RFC 9110, section 7.6.1)
and without what only a trusted proxy may say. What both ends are told of the connection between
them is added by those who hold it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

HEAD_MAX = 32768  # bytes, with the line of the request
# Framing of a body: its length, or
CHUNKED, UNTIL_CLOSE = -1, -2

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
VALUE = rb"[\t -~\x80-\xff]*+"
_FIELDS = rb"(?:" + TOKEN + rb":" + VALUE + rb"\r\n)*+"
# A fragment (#) is never sent (RFC 9112, section 3.2).
_TARGET = rb"[!\"$-~]++"
_REQUEST_LINE = rb"(" + TOKEN + rb") (" + _TARGET + rb") HTTP/1\.([01])\r\n"
_request = re.compile(_REQUEST_LINE + _FIELDS + rb"\r\n").match
_response = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9][0-9])((?: " + VALUE + rb")?)\r\n" + _FIELDS + rb"\r\n"
).match
_other_version = re.compile(TOKEN + rb" " + _TARGET + rb" HTTP/(?!1\.[01])[0-9]\.[0-9]\r\n").match
# Every beginning of a request head: what does not fit is refused without waiting for its end.
_beginning = re.compile(
    rb"(?:" + TOKEN + rb"(?: (?:" + _TARGET + rb"(?: (?:H(?:T(?:T(?:P(?:/(?:[0-9](?:\.(?:[0-9]\r?"
    rb")?)?)?)?)?)?)?)?)?)?)?|"
    + _REQUEST_LINE
    + _FIELDS
    + rb"(?:"
    + TOKEN
    + rb"(?::"
    + VALUE
    + rb")?)?\r?)"
).fullmatch

# With an underscore they are other fields, but not for every backend (CGI, WSGI): those are cut.
_REQUEST_NAMES = (
    rb"host|content[-_]length|transfer[-_]encoding|connection|expect|upgrade|te|keep-alive|"
    rb"proxy[-_][a-z_-]+|forwarded|x[-_]forwarded[-_][a-z_-]+|x[-_]real[-_]ip"
)
_RESPONSE_NAMES = (
    rb"content-length|transfer-encoding|connection|upgrade|keep-alive|proxy-connection"
)


def _finder(names: bytes) -> re.Pattern[bytes]:
    # A line that begins with the name: the grammar has been checked before.
    return re.compile(rb"(?i:\n(" + names + rb"):[\t ]*+([^\r]*+)\r)")


_in_request, _in_response = _finder(_REQUEST_NAMES), _finder(_RESPONSE_NAMES)
# A name or address, captured, and a port.
HOST = rb"([A-Za-z0-9._~\-]{1,255}+|\[[0-9A-Fa-f:.]{2,45}+\])(?::[0-9]{1,5}+)?+"
_host = re.compile(HOST).fullmatch
_absolute = re.compile(rb"(?i:https?)://([^/?]++)((?:[/?].*+)?)", re.DOTALL).fullmatch
_length = re.compile(rb"[0-9]{1,18}").fullmatch

# What a Connection field may say besides names of fields.
_OPTIONS = frozenset((b"close", b"keep-alive", b"upgrade"))
# Fields that nobody may have cut out by naming them in Connection.
_LASTING = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect", b"connection"))


class Refused(Exception):
    """A head that is not passed on: the status that the client gets, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class RequestHead(NamedTuple):
    """A request. `size` bytes of the input are its head.

    `target` is a path with its query, or `*`. `authority` is the host as it was written, `host` in
    lower case, without port and final dot; both are empty for HTTP/1.0 without one. `framing` is
    the body's length or CHUNKED. `upgrade` is what the client wants to go over to. `passed` is what
    the backend gets: the request line and fields, without the empty line at the end. `forwarded`
    are the X-Forwarded-* fields as received, names in lower case: only who believes the client
    passes them on.
    """

    size: int
    method: bytes
    target: bytes
    authority: bytes
    host: bytes
    framing: int
    keep_alive: bool
    upgrade: bytes | None
    expects_continue: bool
    is_http10: bool
    passed: bytes
    forwarded: tuple[tuple[bytes, bytes], ...]


class ResponseHead(NamedTuple):
    """A response. `framing` also has UNTIL_CLOSE; `keep_alive` is about the backend's connection.

    `passed` is what the client gets, without the empty line at the end. HTTP/1.0 becomes HTTP/1.1.
    """

    size: int
    status: int
    framing: int
    keep_alive: bool
    upgrade: bytes | None
    passed: bytes


# ---- requests -----------------------------------------------------------------------------------


def read_request(data: bytes) -> RequestHead | None:
    """The head at the beginning of `data`; None while it is incomplete. Raises Refused."""
    match = _request(data)
    if match is None:
        _check_beginning(data)
        return None
    if match.end() > HEAD_MAX:
        raise Refused(431, "the head is too long")
    method, target, minor = match.groups()
    fields = _in_request.findall(data, match.end(3), match.end())
    if len(fields) == 1 and minor == b"1" and method != b"CONNECT" and target.startswith(b"/"):
        name, value = fields[0]
        host_match = _host(value) if name.lower() == b"host" else None
        if host_match is not None:
            return _plain_request(data, match, value, host_match[1])
    found = _RequestFields(data, match.end(3), match.end(), minor == b"0")
    host, authority = found.host, None
    if method == b"CONNECT":
        # Whatever its target is: a backend may take what follows its 200 for a tunnel.
        raise Refused(405, "CONNECT is not offered")
    if not target.startswith(b"/"):
        target, authority = _other_form(method, target)
        if authority is not None:
            host = authority
    line = b"%b %b HTTP/1.1\r\n" % (method, target)
    passed = line + found.passed(authority)
    return RequestHead(
        size=match.end(),
        method=method,
        target=target,
        authority=host or b"",
        host=_plain_host(host),
        framing=found.framing,
        keep_alive=found.keep_alive,
        upgrade=found.upgrade,
        expects_continue=found.expects_continue,
        is_http10=found.is_http10,
        passed=passed,
        forwarded=tuple(found.forwarded),
    )


def _plain_request(
    data: bytes, match: re.Match[bytes], authority: bytes, host: bytes
) -> RequestHead:
    """The usual head: of all fields that matter it has the Host alone. Written for speed."""
    end, (method, target, _minor) = match.end(), match.groups()
    host = host.lower().rstrip(b".")
    return RequestHead(
        end, method, target, authority, host, 0, True, None, False, False, data[: end - 2], ()
    )


def _check_beginning(data: bytes) -> None:
    """Raises Refused if no further bytes can make a head of `data`."""
    if len(data) > HEAD_MAX:
        raise Refused(431, "the head is too long")
    if data and _beginning(data) is None:
        if _other_version(data):
            raise Refused(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        raise Refused(400, "this is not a request head")


def _other_form(method: bytes, target: bytes) -> tuple[bytes, bytes | None]:
    """The path (or `*`) and authority of a target in absolute or asterisk form."""
    if target == b"*" and method == b"OPTIONS":
        return target, None
    match = _absolute(target)
    if match is None or _host(match[1]) is None:
        raise Refused(400, "the request target is of no known form")
    path = match[2]
    if not path:
        return b"*" if method == b"OPTIONS" else b"/", match[1]
    return path if path.startswith(b"/") else b"/" + path, match[1]


def _plain_host(field: bytes | None) -> bytes:
    if field is None:
        return b""
    match = _host(field)
    assert match is not None, "checked when it was read"
    return match[1].lower().rstrip(b".")


def _is_http2(upgrade: bytes | None) -> bool:
    """Whether it asks for requests inside a tunnel, where nobody would look at them. RFC 9113,
    section 3.1, has withdrawn h2c; it may be ignored like every Upgrade."""
    return upgrade is not None and b"h2c" in upgrade.lower()


class _Fields:
    """What the fields of a head say about the message, and what of them is passed on."""

    def __init__(self, data: bytes, start: int, end: int, is_http10: bool) -> None:
        self.is_http10 = is_http10
        self.length: int | None = None
        self.is_chunked = False
        self.upgrade: bytes | None = None
        self._data, self._start, self._end = data, start, end
        self._cuts: list[tuple[int, int]] = []
        self._options: list[bytes] = []

    def _note_framing(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            if self.length is not None or _length(value) is None:
                raise Refused(400, "the Content-Length is not one number")
            self.length = int(value)
        else:
            if self.is_chunked or value.lower() != b"chunked":
                raise Refused(400, "the Transfer-Encoding is not `chunked`")
            self.is_chunked = True

    def _note_option(self, value: bytes) -> None:
        self._options += [each.strip(b" \t").lower() for each in value.split(b",")]

    def _finish(self) -> None:
        if self.is_chunked and (self.length is not None or self.is_http10):
            raise Refused(400, "a Transfer-Encoding here makes the length ambiguous")
        if b"upgrade" not in self._options or self.is_http10 or _is_http2(self.upgrade):
            self.upgrade = None
        named = {each for each in self._options if each and each not in _OPTIONS}
        if named & _LASTING:
            raise Refused(400, "the Connection field names a field that has to stay")
        if named:
            self._cut_lines(named)

    def _cut_lines(self, names: set[bytes]) -> None:
        position, known = self._start + 2, set(self._cuts)
        while position < self._end - 2:
            after = self._data.index(b"\r\n", position) + 2
            name = self._data[position : self._data.index(b":", position)]
            cut = (position, after)
            if name.lower() in names and cut not in known:
                self._cuts.append(cut)
            position = after
        self._cuts.sort()

    @property
    def keep_alive(self) -> bool:
        if self.is_http10:
            return b"keep-alive" in self._options and b"close" not in self._options
        return b"close" not in self._options

    def _kept(self) -> bytes:
        """The fields without those that were cut."""
        if not self._cuts:
            return self._data[self._start + 2 : self._end - 2]
        parts, position = [], self._start + 2
        for start, end in self._cuts:
            parts.append(self._data[position:start])
            position = end
        parts.append(self._data[position : self._end - 2])
        return b"".join(parts)


class _RequestFields(_Fields):
    def __init__(self, data: bytes, start: int, end: int, is_http10: bool) -> None:
        super().__init__(data, start, end, is_http10)
        self.host: bytes | None = None
        self.expects_continue = False
        self.forwarded: list[tuple[bytes, bytes]] = []
        for match in _in_request.finditer(data, start, end):
            if self._note(match[1].lower(), match[2].rstrip(b" \t"), match.start() + 1):
                self._cuts.append((match.start() + 1, match.end() + 1))
        if self.host is None and not is_http10:
            raise Refused(400, "HTTP/1.1 needs a Host field")
        self._finish()

    def _note(self, name: bytes, value: bytes, at: int) -> bool:
        """Take a field in; True if it is cut."""
        if name == b"host":
            if self.host is not None or _host(value) is None:
                raise Refused(400, "the Host field is not one host")
            self.host = value
            self._host_at = at
            return False
        if name in (b"content-length", b"transfer-encoding"):
            self._note_framing(name, value)
            return False
        if name == b"expect":
            if value.lower() != b"100-continue":
                raise Refused(417, "nothing but 100-continue can be expected")
            self.expects_continue = not self.is_http10
            return False
        if name == b"connection":
            self._note_option(value)
        elif name == b"upgrade":
            self.upgrade = value if self.upgrade is None else self.upgrade + b", " + value
        elif name.startswith(b"x-forwarded-"):
            self.forwarded.append((name, value))
        return True

    @property
    def framing(self) -> int:
        return CHUNKED if self.is_chunked else self.length or 0

    def passed(self, authority: bytes | None) -> bytes:
        """The fields for the backend. An `authority` takes the place of the Host field (RFC 9112,
        section 3.2.2)."""
        if authority is None:
            return self._kept()
        if self.host is not None:
            end = self._data.index(b"\r\n", self._host_at) + 2
            self._cuts = sorted([*self._cuts, (self._host_at, end)])
        return b"Host: %b\r\n" % authority + self._kept()


# ---- responses ----------------------------------------------------------------------------------


def read_response(data: bytes, *, to_head: bool) -> ResponseHead | None:
    """The head at the beginning of `data`; None while it is incomplete.

    `to_head`: it answers a HEAD request, so no body follows. Raises Refused with 502.
    """
    match = _response(data)
    if match is None:
        is_over = b"\r\n\r\n" in data or b"\n\n" in data
        if len(data) > HEAD_MAX or is_over or not _may_begin_response(data):
            raise Refused(502, "the backend's answer is no HTTP response")
        return None
    if match.end() > HEAD_MAX:
        raise Refused(502, "the head of the backend's answer is too long")
    status, bodiless = int(match[2]), to_head
    try:
        found = _ResponseFields(data, match.end(3), match.end(), match[1] == b"0")
    except Refused as error:
        raise Refused(502, f"the backend's answer: {error.reason}") from None
    if status < 200 or status in (204, 304):
        bodiless = True
    framing = 0 if bodiless else found.framing
    return ResponseHead(
        size=match.end(),
        status=status,
        framing=framing,
        keep_alive=found.keep_alive and framing != UNTIL_CLOSE,
        upgrade=found.upgrade if status == 101 else None,
        passed=b"HTTP/1.1 %b%b\r\n" % (match[2], match[3] or b" ") + found.passed(status),
    )


def _may_begin_response(data: bytes) -> bool:
    beginning = b"HTTP/1."
    return data[: len(beginning)] == beginning[: len(data)]


class _ResponseFields(_Fields):
    def __init__(self, data: bytes, start: int, end: int, is_http10: bool) -> None:
        super().__init__(data, start, end, is_http10)
        self._framing_cuts: list[tuple[int, int]] = []
        for match in _in_response.finditer(data, start, end):
            name, value = match[1].lower(), match[2].rstrip(b" \t")
            cut = (match.start() + 1, match.end() + 1)
            if name in (b"content-length", b"transfer-encoding"):
                self._note_framing(name, value)
                self._framing_cuts.append(cut)
                continue
            if name == b"connection":
                self._note_option(value)
            elif name == b"upgrade":
                self.upgrade = value
            self._cuts.append(cut)
        self._finish()

    @property
    def framing(self) -> int:
        if self.is_chunked:
            return CHUNKED
        return UNTIL_CLOSE if self.length is None else self.length

    def passed(self, status: int) -> bytes:
        """The fields for the client; no length where there never is a body (RFC 9110, 8.6)."""
        if status < 200 or status == 204:
            self._cuts = sorted([*self._cuts, *self._framing_cuts])
        return self._kept()
