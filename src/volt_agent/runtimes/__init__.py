"""Who starts workloads. Each runtime watches its own source and says InstanceStarted or -Stopped.

`machined`    the machines of systemd-machined, asked for over D-Bus (`machine_bus`)
`netns`       named namespaces in /run/netns (ip-netns(8)): a container without a runtime
`ports`       bridge ports: those that somebody else attached, and the carrier of volt's own taps
`lives`       what runs in one runtime, and the names that volt has for it
`lifecycle`   the task that hands their events to the registry, in order

A runtime reports what is already there when it starts, exactly as if it had just begun.
"""
