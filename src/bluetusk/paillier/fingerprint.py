"""Fingerprints of public keys, as bytes for machines and as words for people."""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["WORDS", "fingerprint", "spoken"]

_DOMAIN = b"bluetusk/paillier/fingerprint/v1\x00"
_SPOKEN = 12

# 256 words of 4 to 9 letters that nobody confuses on the telephone: any two differ by at least three edits and within
# their first four letters. The order is part of the format.
_TEXT = """
    actor album alley amber angel ankle april arena arrow atlas attic aunt autumn avocado award bacon badge bamboo
    banjo barrel basil beach beaver beetle bicycle biscuit blanket blossom bobcat boulder bread broccoli bronze
    brush bucket buffalo bugle butter cabin cactus camel canoe canvas captain cargo carpet cashew castle cedar cello
    chalk cheetah cherry chestnut chimney cinema circus clarinet clover cobalt cobweb coffee copper cotton cousin
    coyote crayon cricket crystal cupboard cyclone daisy dancer denim dentist desert diamond dolphin domino donkey
    drizzle dungeon dusk earth echo eclipse elbow elevator emerald engine fabric feather fennel fiddle finger
    flamingo flute forest fossil fridge galaxy garden garlic geyser giraffe glacier goblet gorilla granite grape
    guitar harbor harvest helmet herring horizon hotel iceberg igloo indigo island ivory jaguar jasmine jigsaw
    journal juniper kayak kitchen kiwi knight koala ladder lagoon lantern laptop lava lemon leopard lettuce library
    lilac linen lizard lobby lobster lotus lunch magnet maple meadow meteor mirror mitten mosaic muffin museum
    mustard napkin nectar nephew nickel noodle nutmeg oatmeal ocean octopus olive onion opera orange orchid oregano
    ostrich oxygen palace panda paper parsley peanut pebble pelican pencil piano picnic pigeon pillow pirate plaster
    poem polar potato prairie pretzel puzzle pyramid quartz queen quilt rabbit radish raven rhubarb ribbon ruby
    saffron salmon scarf school shrimp silver sketch slipper snow soccer speaker spider spinach sponge stable stork
    sugar summer sunset swan syrup tailor teapot temple tennis thistle thunder torch trolley trophy trumpet tulip
    tundra turtle unicorn utensil vacuum vanilla village violin visitor volcano voyage vulture waffle walnut weasel
    window yacht yogurt zebra
"""
WORDS: Final = tuple(_TEXT.split())


def fingerprint(suite: str, n: int, hs: int | None) -> bytes:
    """Hash all that makes a public key.

    Parameters
    ----------
    suite : str
        Name of the suite.
    n : int
        The modulus.
    hs : int or None
        The base of the obfuscators; None in suite ``standard``.

    Returns
    -------
    bytes
        SHA-256, 32 bytes, of a domain label and then suite, n and hs, each as its length (4 bytes, little-endian) and
        its bytes (integers little-endian, hs empty if it is None).

    Examples
    --------
    >>> fingerprint("standard", 35, None).hex()[:16]
    'acdb64e15f4194aa'
    """
    digest = hashlib.sha256(_DOMAIN)
    for part in (suite.encode(), _integer(n), b"" if hs is None else _integer(hs)):
        digest.update(len(part).to_bytes(4, "little") + part)
    return digest.digest()


def spoken(digest: bytes) -> str:
    """Turn the start of a fingerprint into words that two people can compare aloud.

    Twelve words are 96 bits: making another key with the same words takes 2^96 attempts, which is out of reach, and a
    pair of keys with equal words, which only matters to somebody who makes both, takes 2^48. Software compares all
    32 bytes.

    Parameters
    ----------
    digest : bytes
        A fingerprint.

    Returns
    -------
    str
        Twelve words separated by spaces, one per byte.

    Examples
    --------
    >>> spoken(bytes(range(32)))
    'actor album alley amber angel ankle april arena arrow atlas attic aunt'
    """
    return " ".join(WORDS[byte] for byte in digest[:_SPOKEN])


def _integer(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "little")
