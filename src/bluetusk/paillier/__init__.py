"""Paillier encryption of whole arrays: keys, ciphertext arrays, and encryption with given randomness (``hazmat``)."""

from bluetusk.paillier import hazmat
from bluetusk.paillier.array import CipherArray, concatenate
from bluetusk.paillier.keys import PrivateKey, PublicKey, generate_keypair
from bluetusk.paillier.proofs import prove_modulus, verify_modulus
from bluetusk.paillier.to_shares import RingArray, encrypt_share, open_shares

__all__ = [
    "CipherArray",
    "PrivateKey",
    "PublicKey",
    "RingArray",
    "concatenate",
    "encrypt_share",
    "generate_keypair",
    "hazmat",
    "open_shares",
    "prove_modulus",
    "verify_modulus",
]
