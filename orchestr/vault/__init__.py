"""Ansible Vault: its format, passwords, and encrypted files and values."""
