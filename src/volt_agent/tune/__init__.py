"""Sysctls that users set through volt: taken by the kernel, kept across reboots, given back.

`values`      what the kernel made of a value, and which keys volt itself holds (pure)
`sysctl_file` /etc/sysctl.d/90-volt.conf: the settings that are kept, for the next boot
`tuner`       Tuner: the order of the steps, and the way back from each

The store knows what was set and what was there before (`model.host.TunedSetting`); the file is
written from it. What lasts until the next boot only is in the store and not in the file.
"""

from __future__ import annotations

from .tuner import Reading, Tuner

__all__ = ["Reading", "Tuner"]
