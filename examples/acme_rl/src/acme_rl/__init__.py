"""A training backend of the Acme Corporation for Motrix."""
