"""How bytes reach a host: ssh (fabric/paramiko), local (a subprocess), memory (tests). One connection per run."""
