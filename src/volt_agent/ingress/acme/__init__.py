"""Certificates that look after themselves: ACME (RFC 8555) with the HTTP-01 challenge.

A certificate's way::

    manager -> attempt -> preflight -> account -> order (issue) -> storage -> shown by `ingress.tls`
    (due?)     (one)      (worth it?)  (once)     the CA's steps    (fsync)    to new connections

What is decided, as plain functions and values:

`state`         how it is with a host's certificate, and the words for it
`order`         the table of an order: from what the CA says to what is done next
`ledger`        what was tried, and when the next try is due; on disk before a CA is asked
`renewal`       when a certificate is replaced
`preflight`     what would make an order fail for certain, and what is only worth a warning
`problem`       what kept a certificate from being had

What does it:

`manager`       Certificates: a task for each host that waits until something is due
`hosts`         what is known of a host at the moment
`attempt`       from a host for which something is due to a certificate in use, or to a set-back
`issue`         an order, once the CA has it
`account`       the account, made once, and everybody's set-back while the CA does not answer
`conversation`  talks to a CA, by the `acme` package; `translate`: its errors in words for users
`workers`       the threads in which `conversation` and `storage` block
`storage`       files for root only, that are the old ones or the new ones whenever it stops
`outlook`       what preflight looks at on this host; `lookups`: what public DNS says

Only `conversation` and `translate` import `acme`, and they are imported in a thread, when the first
order is due: an agent without such routes does without.
"""
