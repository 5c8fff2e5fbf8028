"""Who starts workloads. Each runtime watches its own source and says InstanceStarted or -Stopped.

`netns`       named namespaces in /run/netns (ip-netns(8)): a container without a runtime
`ports`       bridge ports: those that somebody else attached, and the carrier of volt's own taps
`lifecycle`   the task that hands their events to the registry, in order

A runtime reports what is already there when it starts, exactly as if it had just begun.
"""
