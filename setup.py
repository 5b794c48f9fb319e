"""The packages of a wheel; everything else is in setup.cfg, whose ``find:`` can't rename directories."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["orchestr", "orchestr.*"]),
        *("orchestr_roles", "orchestr_playbooks", "orchestr_inventories"),
    ]
)
