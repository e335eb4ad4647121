"""A scheme is a class and a row of the table: keys, arrays, frames and key files take a third one by its name."""

from __future__ import annotations

import numpy as np
import pytest

from bluetusk import CipherArray, EncodingOverflow, FixedPoint, InvalidKey
from bluetusk.paillier import PrivateKey, PublicKey, generate_keypair, hazmat
from bluetusk.paillier._standard import Standard
from bluetusk.paillier.scheme import SCHEMES, scheme_of

LIMIT = FixedPoint.integers(limit=1000)


class Third(Standard):
    """As the standard one, but its plaintexts are small."""

    name = "third"

    def capacity(self, n):
        return 5000

    def room(self, n):
        return 100


@pytest.fixture
def third(priv, monkeypatch):
    monkeypatch.setitem(SCHEMES, "third", Third())
    p, q = (int.from_bytes(prime, "little") for prime in priv._kernel.export_primes())
    with PrivateKey(p, q, suite="third") as key:
        yield key


def test_keys_of_a_third_scheme(third, pub, tmp_path):
    public = third.public_key
    assert (public.suite, public.n, public.hs, public.given_hs) == ("third", pub.n, None, False)
    assert public not in (pub, PublicKey(pub.n, suite="standard"))
    assert PublicKey.from_bytes(public.to_bytes()) == public
    assert PublicKey.from_json(public.to_json()) == public
    third.save(tmp_path / "key", "seven quiet otters")
    with PrivateKey.load(tmp_path / "key", "seven quiet otters") as again:
        assert again.public_key == public


def test_arrays_of_a_third_scheme(third, pub):
    public = third.public_key
    for key in (public, third):
        c = key.encrypt([3, -4], LIMIT) * 2 + [1, 1]
        assert c.public_key == public
        back = CipherArray.from_bytes(c.to_bytes(), public)
        assert third.decrypt_integers(back).tolist() == [7, -7]
    with pytest.raises(InvalidKey, match="suite third"):
        CipherArray.from_bytes(c.to_bytes(), pub)
    assert hazmat.decrypt_raw(third, hazmat.encrypt_with(public, [7], [12345])) == [7]
    with pytest.raises(ValueError, match="units of Z_n"):
        hazmat.encrypt_with(public, [7], [0])


def test_a_scheme_decides_what_a_ciphertext_holds(third):
    c = third.public_key.encrypt([3], LIMIT)
    assert (c * 5).bound == 5000
    with pytest.raises(EncodingOverflow, match="holds at most 5000"):
        c * 6
    with pytest.raises(EncodingOverflow, match="5000"):
        third.public_key.encrypt([3])
    packed = third.public_key.encrypt(np.zeros(12, dtype=int), LIMIT, packed=True)
    assert packed.nbytes // packed.public_key._kernel.mont.nbytes == -(-12 // (100 // packed.slot_bits))
    with pytest.raises(EncodingOverflow, match="holds at most 5000"):
        CipherArray.from_bytes(c.to_bytes(), third.public_key) * 6


def test_a_pair_of_a_third_scheme_is_generated(third, monkeypatch):
    p, q = (int.from_bytes(prime, "little") for prime in third._kernel.export_primes())
    monkeypatch.setattr(Third, "generate", lambda self, bits, threads: (p, q))
    public, private = generate_keypair(suite="third")
    with private:
        assert (public, public.suite) == (third.public_key, "third")


def test_unknown_schemes_are_refused():
    for wrong in ("third", "", "DJN"):
        with pytest.raises(InvalidKey, match="use 'djn'"):
            scheme_of(wrong)
    with pytest.raises(TypeError, match="suite must be a str"):
        scheme_of(None)
