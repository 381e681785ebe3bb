"""Environments of the Acme Corporation for Motrix."""
