"""Checks of the promises of roles: ``roles/NAME/verify.py``, run with pytest and testinfra on the inventory's hosts.

    result = orchestr.verify(orchestr.load_inventory("inventories/prod.yml"))
    [check["message"] for check in result.hosts["lk1"].checks if check["outcome"] == "failed"]

A check is a pytest test that names its needs as arguments: ``host`` (testinfra, over the agent's session),
``machine`` (the host as roles see it), ``params`` (the role's, for this host), ``peers(ROLE)`` and ``outside`` (this
machine's view over the network).
"""

from orchestr.verification.result import HostChecks, VerifyResult
from orchestr.verification.run import verify

__all__ = ["HostChecks", "VerifyResult", "verify"]
