"""Judges from elsewhere: programs that others wrote to tell how well a proxy does.

`make conformance` fetches them into .cache/judges (`scripts/set-up conformance`) and runs them
against the ingress of a real agent on a private host; it takes some minutes, and no other `make`
target runs it. h1spec is one file that is in no package registry: the environment's H1SPEC names it
(http_test.ts of uNetworking/h1spec).
"""
