"""What tests, benchmarks, the demo and the sandbox stand on: a private host to run volt in.

`host`             Host: a private machine with the real agent and the real `volt`
`systemd_host`     SystemdHost: a Host that systemd has booted, with machined and nspawn
`guests`           virtual machines on it: QEMU and user-mode Linux; `initramfs` is what they boot
`guest`            what runs in containers and virtual machines
`machine`          Machine: network, mounts and processes of its own, gone when closed
`inside`           the first process of a machine; does what has to be done from within it
`traffic`          echo servers and probes between the namespaces of a machine, run by `inside`
`streams`          steady streams that notice interruptions
`names_on_wire`    questions to DNS servers
`traffic_control`  asks for all of these from outside
`rootless`         a machine made by a user without any rights
`namespaces`       the few system calls that Python 3.11 lacks
`ports`            ports of the machine itself that are free
`process`          a process inside a host, as seen from outside
`service_manager`  a stand-in for systemd: sd_notify, socket passing, the fd store
`acme`             a CA outside of a host: pebble; `public_names` is the DNS that it asks
`certificate_site` a host with such certificates; `tls_load`: clients of it
`leftovers`        what would still be there after a host is gone, and must not be
"""
