"""How long the server stores things, in seconds."""

RETAINED_S = 30 * 86400.0
"""How long videos are stored by default."""
AUDIT_S = 365 * 86400.0
"""How long lines of the audit log are stored by default."""
REPEATED_S = 86400.0
"""How long a request with the same Idempotency-Key is the same request."""
