"""The ingress: an HTTP/1.1 and TLS proxy that knows the workloads.

A request's way::

    listener -> connection -> head -> table -> target -> endpoint -> connection to a backend
    (accept)    (client)      parsed   route    picks one   address    pooled or new

What is decided, as plain functions and values:

`heads`         request and response heads: strictly one reading, or a refusal with a status
`usual`         the heads that nearly everybody sends, read in one step
`chunks`        the framing of chunked bodies, checked before it is passed on
`forwarded`     what a backend is told of the client
`table`         RouteTable: host and path -> what answers; another one after each change
`targets`       Target and Endpoint: what a route leads to, who may get the next request
`resolve`       the endpoints of a route's backends in a snapshot
`health`        from results of probes and requests to who is usable
`client_hello`  the server name in the first bytes of a TLS connection
`certificate`   a chain and a key: what is refused, what is warned of

What does it:

`poller`        a private epoll set inside the loop, and coarse timers: the data path's own I/O
`pipes`         what large plain bodies go through within the kernel (splice)
`connection`    what both ends have in common: output that waits, backpressure, closing
`client`        the client's end: heads, bodies, limits, refusals
`backend`       the backend's end, and the pool of idle ones
`handshake`     a TLS connection until it is encrypted, passed through (`passthrough`) or refused
`tunnel`        both directions after an Upgrade or for TLS passed through
`kept`          the same so that a killed agent loses no byte; `positions`: how far it was
`carry`         connections that leave for another process, or come from one
`acme`          a package of its own: certificates that look after themselves
`tls`           certificates by name, read again when their files change; `tls_profile`
`probes`        active health checks, and the live table of how every backend is; `probe`: one check
`outside`       addresses of backends outside volt, by DNS
`access_log`    one JSON line for each request
`chain`         what a certificate says of itself; `certificate_figures`: what became of them all
`counters`      what is counted of requests; `observer` counts, `figures` shows it
`routing`       targets and endpoints, kept in step with the snapshot change by change; draining
`doors`         the ports that are listened on, who has those that are not to be had; `sockets`
`server`        the plane: follows the snapshot, tells everybody above, stops; `settings`

The data path uses sockets directly: streams and protocols of an event loop cost two to ten times as
much for each request. Everything on it runs in callbacks of `poller` that never wait.
"""
