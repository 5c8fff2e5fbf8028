"""The control RPC: how everybody outside talks to the agent.

HTTP/1.1 with JSON over a Unix socket. `POST /v1/METHOD` is a call: its parameters are a JSON
object, a 200 carries the result, everything else `{"error": {"code", "message", "hint"}}`.
`GET /v1/openapi.json` describes all calls, `GET /v1/events` streams what happens. `/healthz`,
`/readyz`, `/status` and `/metrics` are also served over TCP, where nothing else is.

The words, and the modules that own them:

* **Method** (`method`): a call's name, parameters and result. `messages` has them by command group,
  `methods` all of them, `openapi` turns them into the document.
* **Handler** (`handlers`): carries out one method; what it raises goes through `failure`.
* **Api** (`api`): request to response: paths, rights, parameters. Knows no sockets.
* **Connection** (`connection`, `wire`): one client, h11 framing, the limits of each step.
* **ControlServer** (`server`): listeners (`sockets`), who has to make room, stopping in order.
* **Peer** (`peer`): who calls, from the socket's credentials, and whether that is allowed.
* **EventLog** (`event_log`, `event_stream`): the last outcomes, and those who follow them.
* **Metrics** (`metrics`, `loop_lag`): what `/metrics` shows.
* **Client** (`client`, `events_client`): the other side, used by the command line only.

A command is one Method in `messages`, one handler, one file in `cli` and one test. Its path on the
command line is its name here: `volt net dns list` is `net.dns.list`.
"""
