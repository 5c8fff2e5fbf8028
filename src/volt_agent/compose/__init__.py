"""`volt compose`: the networks, connections and port forwards of a Compose file.

On the user's side, without the agent:

- `file` finds the file and reads it: strict YAML, aliases and merge keys allowed;
- `variables` puts in what `${NAME:-default}` stands for;
- `networks`, `services` and `ports` read their sections, and `project` puts them together as a
  `Wanted`: plain values, names as volt has them. A `Reader` collects the mistakes and what is
  ignored, each with the path of its key.

In the agent `plan` turns a Wanted, or nothing at all for `down`, into `Step`s, by trying the usual
decisions one after the other on a snapshot: what any of them refuses is known before anything is
done. `control.handlers.compose` carries the steps out through the usual calls, and the store keeps
a `model.project.Project`: what the project made, hence what may be taken away.

A network is called what the file calls it: a project's name is no prefix, as the handbook's
`frontend` and `backend` are the same networks in all its commands. Only the network of services
that name none, `default` in the file, is PROJECT-default.
"""
