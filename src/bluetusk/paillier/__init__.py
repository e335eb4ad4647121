"""Paillier encryption of whole arrays: keys, ciphertext arrays, and the marked door to given randomness."""

from bluetusk.paillier import hazmat
from bluetusk.paillier.cipherarray import CipherArray, concatenate
from bluetusk.paillier.keys import PrivateKey, PublicKey, generate_keypair

__all__ = ["CipherArray", "PrivateKey", "PublicKey", "concatenate", "generate_keypair", "hazmat"]
