"""The two roles as separate processes: mutual TLS, steps that survive a kill, everything kept on an encrypted disk."""
