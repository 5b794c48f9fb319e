"""A STAND-IN for ChatSystem's seven services: what their deployment can see of them, and one message's way.

True to the real ones: gflags (a flagfile, the last flag wins, an unknown one ends it), a registration in etcd
(key ``/service`` + instance_name, value access_host, a lease of 30 s that ends with the process), the ports, and that
each needs what it depends on: without it the process ends. A gateway's starts and exits delete Redis' ``status:*``.
Not true: no speech, no files but a data directory that must be writable, JSON where the real ones speak brpc.
"""
