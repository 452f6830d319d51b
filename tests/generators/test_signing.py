"""Signatures: what is vouched for, and what isn't."""

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onthefly.generators import FrozenGenerator, load, save, sign, verify

Keys = tuple[Path, Path]


@pytest.fixture
def path(generators: dict[str, FrozenGenerator]) -> Path:
    return save(generators["vae"], Path("generator.safetensors"))


@pytest.fixture
def keys() -> Callable[[str], Keys]:
    """A new private key and its public one, in files of that name."""
    pytest.importorskip("model_signing", reason="needs the extra signing")
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    def make(name: str) -> Keys:
        key, private, public = generate_private_key(SECP256R1()), Path(f"{name}.pem"), Path(f"{name}.pub")
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return private, public

    return make


def test_what_was_signed_is_loaded(path: Path, keys: Any) -> None:
    private, public = keys("mine")
    assert sign(path, private_key=private) == Path("generator.safetensors.sig")
    assert load(path, public_key=public).path == path
    link = Path("link.safetensors")  # as the hub's cache has them
    link.symlink_to(path)
    Path("link.safetensors.sig").symlink_to("generator.safetensors.sig")
    verify(link, public_key=public)


def test_a_file_that_was_changed(path: Path, keys: Any, refused: Any) -> None:
    private, public = keys("mine")
    sign(path, private_key=private)
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    refused(lambda: load(path, public_key=public), "generator.safetensors", "mine.pub", "doesn't vouch", "mismatch")
    load(path)


def test_the_signature_of_somebody_else(path: Path, keys: Any, refused: Any) -> None:
    sign(path, private_key=keys("theirs")[0])
    refused(lambda: load(path, public_key=keys("mine")[1]), "mine.pub", "doesn't vouch", "Key mismatch")


def test_a_statement_that_was_changed(path: Path, keys: Any, refused: Any) -> None:
    """The hint says whose key it is, and is no proof: the statement itself must be signed."""
    private, public = keys("mine")
    signature = sign(path, private_key=private)
    bundle = json.loads(signature.read_text())
    statement = b64decode(bundle["dsseEnvelope"]["payload"]).replace(b"generator", b"somewhere")
    bundle["dsseEnvelope"]["payload"] = b64encode(statement).decode()
    signature.write_text(json.dumps(bundle))
    refused(lambda: verify(path, public_key=public), "doesn't vouch", "InvalidSignature")


@pytest.mark.parametrize("text", ["", "{}", "[" * 100_000, "x" * (2 << 20)])
def test_a_signature_that_is_none(path: Path, keys: Any, text: str, refused: Any) -> None:
    Path("generator.safetensors.sig").write_text(text)
    refused(lambda: verify(path, public_key=keys("mine")[1]), "generator.safetensors", "doesn't vouch")


def test_files_that_are_missing(path: Path, refused: Any) -> None:
    Path("key.pub").touch()
    missing: dict[str, Any] = {"error": FileNotFoundError}
    refused(lambda: load(path, public_key="key.pub"), "generator.safetensors.sig", "fetch it", **missing)
    refused(lambda: load(path, public_key="none.pub"), "a public key", "none.pub", **missing)
    refused(lambda: sign(path, private_key="none.pem"), "a private key", "none.pem", "openssl", **missing)
    refused(lambda: sign("none.safetensors", private_key="key.pub"), "a checkpoint", **missing)


def test_a_key_that_is_none(path: Path, keys: Any, refused: Any) -> None:
    private, public = keys("mine")
    refused(lambda: sign(path, private_key=public), "mine.pub", "elliptic curve's private key")
    sign(path, private_key=private)
    refused(lambda: verify(path, public_key=private), "mine.pem", "doesn't vouch")


def test_it_is_said_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("key.pem").touch()
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(ImportError, match=r"onthefly-torch\[signing\]"):
        sign(path, private_key="key.pem")
