"""The firewall: one resource, and its backends ufw and firewalld."""
