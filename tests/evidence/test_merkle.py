"""The Merkle tree against RFC 6962's own recursive definitions, and against published proofs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bluetusk.evidence import leaf_hash, verify_consistency, verify_inclusion
from bluetusk.evidence._merkle import Tree

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "rfc6962.json").read_text())
LARGEST = 64


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def below(n: int) -> int:
    """The largest power of two below n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def mth(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word."""
    if not leaves:
        return sha(b"")
    if len(leaves) == 1:
        return sha(b"\x00" + leaves[0])
    k = below(len(leaves))
    return sha(b"\x01" + mth(leaves[:k]) + mth(leaves[k:]))


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962, 2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    k = below(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """RFC 6962, 2.1.2, word for word."""
    n = len(leaves)
    if m == n:
        return [] if whole else [mth(leaves)]
    k = below(n)
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def tree_of(leaves: list[bytes]) -> Tree:
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    return tree


def test_every_size_up_to_64() -> None:
    leaves = [bytes([i]) * (i % 5) for i in range(LARGEST)]
    tree = Tree()
    roots = [mth(leaves[:n]) for n in range(LARGEST + 1)]
    for n in range(LARGEST + 1):
        assert tree.root() == roots[n]
        assert all(tree.root(k) == roots[k] for k in range(n + 1))
        for i in range(n):
            proof = tree.inclusion(i, n)
            assert proof == path(i, leaves[:n])
            assert verify_inclusion(i, n, leaf_hash(leaves[i]), proof, roots[n])
        for k in range(n + 1):
            proof = tree.consistency(k, n)
            assert proof == (subproof(k, leaves[:n], True) if k else [])
            assert verify_consistency(k, n, proof, roots[k], roots[n])
        if n < LARGEST:
            tree.append(leaf_hash(leaves[n]))
            tree.truncate(n)
            assert (len(tree), tree.root()) == (n, roots[n])
            tree.append(leaf_hash(leaves[n]))


def test_published_proofs() -> None:
    leaves = [bytes.fromhex(text) for text in VECTORS["leaves"]]
    roots = [bytes.fromhex(text) for text in VECTORS["roots"]]
    tree = tree_of(leaves)
    assert Tree().root().hex() == VECTORS["empty"]
    assert [tree.root(n) for n in range(1, 9)] == roots
    for case in VECTORS["inclusion"]:
        proof = [bytes.fromhex(text) for text in case["proof"]]
        index, size = case["index"], case["size"]
        assert tree.inclusion(index, size) == proof
        assert verify_inclusion(index, size, leaf_hash(leaves[index]), proof, roots[size - 1])
    for case in VECTORS["consistency"]:
        proof = [bytes.fromhex(text) for text in case["proof"]]
        old, new = case["old"], case["new"]
        assert tree.consistency(old, new) == proof
        assert verify_consistency(old, new, proof, roots[old - 1], roots[new - 1])


def test_proof_from_a_public_log_of_certificates() -> None:
    case = VECTORS["large"]
    proof = [bytes.fromhex(text) for text in case["proof"]]
    leaf, root = bytes.fromhex(case["leaf_hash"]), bytes.fromhex(case["root"])
    assert verify_inclusion(case["index"], case["size"], leaf, proof, root)
    assert not verify_inclusion(case["index"] + 1, case["size"], leaf, proof, root)
    for i in range(len(proof)):
        bad = [*proof[:i], bytes(32), *proof[i + 1 :]]
        assert not verify_inclusion(case["index"], case["size"], leaf, bad, root)


@given(st.data())
def test_wrong_proofs_are_refused(data: st.DataObject) -> None:
    """As the probes of certificate-transparency: other places, sizes and roots; more, fewer or changed hashes."""
    n = data.draw(st.integers(2, 40))
    tree = tree_of([bytes([i]) for i in range(n)])
    old = data.draw(st.integers(1, n - 1))
    index = data.draw(st.integers(0, n - 1))
    root, old_root = tree.root(), tree.root(old)
    inclusion, consistency = tree.inclusion(index, n), tree.consistency(old, n)
    leaf = tree.leaf(index)
    other = data.draw(st.integers(0, n - 1).filter(lambda i: i != index))
    assert not verify_inclusion(other, n, leaf, inclusion, root)
    assert not verify_inclusion(n, n, leaf, inclusion, root)
    assert not verify_inclusion(-1, n, leaf, inclusion, root)
    assert not verify_inclusion(index, n, leaf[:31], inclusion, root)
    assert not verify_inclusion(index, n, leaf, inclusion, old_root)
    assert not verify_consistency(n, old, consistency, root, old_root)
    assert not verify_consistency(old, n, consistency, root, root)
    assert not verify_consistency(old, n, consistency, old_root, old_root)
    assert not verify_consistency(n, n, consistency or [root], root, root)
    assert not verify_consistency(n, n, [], root, old_root)
    assert not verify_consistency(0, n, [], root, root)
    for proof, check in (
        (inclusion, lambda p: verify_inclusion(index, n, leaf, p, root)),
        (consistency, lambda p: verify_consistency(old, n, p, old_root, root)),
    ):
        assert check(proof)
        assert not check([*proof, root])
        assert not check([root, *proof])
        assert not check([*proof, b""])
        assert not check(proof[:-1])
        at = data.draw(st.integers(0, len(proof) - 1))
        bit = data.draw(st.integers(0, 255))
        changed = (int.from_bytes(proof[at], "big") ^ 1 << bit).to_bytes(32, "big")
        assert not check([*proof[:at], changed, *proof[at + 1 :]])
