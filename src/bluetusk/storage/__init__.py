"""Files: written whole or not at all, appended to, sealed under a passphrase or a key."""
