"""Names for workloads: a DNS server on every gateway address, which asks upstream for the rest.

Three words: a **view** is what one asker may see (an ordered choice of networks); an **answer** is
what a view and a question lead to, decided from the snapshot; a **tail** is a finished reply
without its first two octets, the only ones that differ when the same question is asked again.

Who talks to whom, from the wire inwards::

    listener   UDP: a cached tail goes out at once; anything else is handed to the responder
    datagrams  many datagrams with one system call
    rationing  who is answered when a queue is flooded
    tcp        TCP: frames, limits, slow readers; always to the responder
    responder  one packet -> one reply: parse, decide, build, cache, or forward
    answers    which names are ours, and what a view is told about them (plain functions)
    special    names for special use, which are never asked upstream
    view       which view an asking address has
    cache      tails by view and packet, indexed by owner name, so that a change drops them at once
    forward    questions that are not ours: from memory, or upstream; who is told what, and when
    flights    questions on their way (`flight`): which server is asked next, who was late
    upstream   one question (`question`) to one server, over UDP or TCP
    ears       the sockets of those questions: a fresh port for each, sent in bursts
    health     how fast each server is and whether it answers: who is asked first
    memory     what servers said, and which questions had no answer a moment ago
    admission  how many questions each asker may have on their way
    rebinding  answers from outside that point inside; `loops`: servers that ask us
    outcome    what askers are told about a question that went upstream; `extended`: and why
    reply      what a server says, passed on as it is; `records`: what of it belongs to the question
    wire       the only reader and writer of queries
    sockets    bound to gateway and bridge; taken from and left with the service manager
    explain    what would this asker be told, and why (`volt net dns query`)
    server     NameServer: puts these together and follows the snapshot

There is no table of names to maintain: a look-up that misses the cache reads the present snapshot,
and a change drops the tails of the few names that it touches. So neither the cost of a query nor
that of a change depends on how many names there are.
"""
