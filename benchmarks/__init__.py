"""One file per figure: what volt costs, measured beside its peer in the same run.

    make bench                      all of them
    python -m benchmarks.NAME       one; `--quick` takes fewer samples

Each prints a table and ends with status 1 if a limit (a line with `limit`) is not kept. Ratios to
the peer hold from machine to machine; absolute times do not.

`event_to_effect`  workload start and stop until everything has taken effect
`restart`          how long names are not answered while the agent restarts
`reload_loss`      requests and tunnels lost while routes change, beside nginx
`cli_start`        what `volt net list` costs beside `python3 -c pass`
`certificates`     how long automatic certificates take, and the loop's lag with twenty at once
`dns_throughput`   names: CPU per query beside dnsmasq and unbound
`dns_update`       names: from a change to the right answer, idle, loaded and flooded
`burst`            the lag of the agent's loop while thousands of links come and go
`memory`           the agent with 1,000 workloads, and after 10,000 changes

`figures`, `peers`, `dns_load`, `inside_*` and `bare_attach` are their tools.
"""
