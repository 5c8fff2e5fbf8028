"""Hand-over: a new version takes the place of the running agent, and nobody is sent away.

The words: the **incumbent** is the agent that runs, the **successor** the process that it starts,
with the command line and the program file of its own start. They speak over a socket pair
(SOCK_SEQPACKET): one record is one message, its descriptors beside it (SCM_RIGHTS)::

    incumbent                            successor
      starts it               ------->   reads its modules and the configuration
      Offer: what is stored   ------->   understands it, compiles the ruleset from it
                              <-------   Ready, or Refusal with a reason
      writes nothing any more
      Sockets ..., Take       ------->   has the store's lock and the namespace; starts, as always
      answers names, proxies  <-------   Serving: it answers and accepts as well
      Connections ...         ------->   goes on with them
      Done                    ------->
      drains what it kept, ends

Until `Take` the successor changes nothing, and the incumbent takes back whatever it has stopped if
the successor refuses, ends or is silent. From `Take` to `Serving` both share the sockets: each
question and each connection is taken by one of them. Who may write is decided by one thing: the
incumbent stops before `Take` and starts again only once the successor is dead.

`message`       what is said, as values and as octets: pure
`channel`       records and descriptors over the socket pair
`connections`   client connections and tunnels as values and as octets: pure
`incumbent`     the side that hands over
`successor`     the side that takes over

A parcel of connections is one `Connections` record: its first descriptor is a memfd with the state
(`connections.encode`), the others (at most `message.MOST_DESCRIPTORS`) are the sockets, in the
order in which the state counts them. The incumbent exports again while it drains: what has become
idle meanwhile moves then, in further parcels, until `Done`.
"""
