"""What the commands about rules, policies and forwards change: snapshot -> Change.

Everything but `keeper` is plain functions on values. Each raises Invalid, NotFound or Refused
instead of returning a Change, and then nothing happens; repeating a command that has been carried
out already returns an empty Change. How the objects decide about packets is `firewall`'s.

* `peers`        the ends of rules and policies, as users write them
* `same`         whether a repeated command asks for exactly what there is
* `firewall`     firewall rules
* `policy`       network policies
* `forward`      port forwards: who owns a port of the host, and whether a forward leads anywhere
* `connection`   what `policy test` asks about: names to addresses
* `live`         what a real attempt says about the model
* `users`        which of them name a network or a workload
* `confirm`      changes that are rolled back unless somebody confirms them
* `keeper`       the task that rolls them back in time
"""
