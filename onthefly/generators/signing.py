"""Signatures of checkpoints: who made a file, told by a key, without a network.

A signature lies beside its file, in a ``.sig`` of the format of OpenSSF's Model Signing
(https://github.com/sigstore/model-transparency), whose library makes and checks it.
"""

from pathlib import Path

from onthefly.extras import require

_EXTRA = "signing"
_LARGEST = 1 << 20  # bytes of a signature, which has about two thousand


def sign(path: str | Path, *, private_key: str | Path) -> Path:
    """Sign a checkpoint; needs the extra ``signing``.

    Keys are elliptic curve keys in PEM files, the private one without a password::

        openssl ecparam -name prime256v1 -genkey -noout -out key.pem
        openssl ec -in key.pem -pubout -out key.pub

    Args:
        path: the checkpoint.
        private_key: the file of the key to sign with, on the curve P-256, P-384 or P-521.

    Returns:
        The signature's path: that of the checkpoint, and ``.sig``. Give it away with the checkpoint.

    Raises:
        FileNotFoundError: if there is no such checkpoint or key.
        ValueError: for a key that can't sign.
    """
    path = _file(path, "a checkpoint", "save() writes one")
    key = _file(
        private_key, "a private key", "make one with: openssl ecparam -name prime256v1 -genkey -noout -out key.pem"
    )
    signing = require("model_signing", extra=_EXTRA).signing
    written = signature_of(path)
    try:
        signing.Config().use_elliptic_key_signer(private_key=key).sign(path.resolve(), written)
    except Exception as error:
        raise ValueError(
            f"sign {path}: expected an elliptic curve's private key without a password in {key}, found one that can't "
            f"sign ({type(error).__name__}: {error}); make one with: openssl ecparam -name prime256v1 -genkey -noout "
            "-out key.pem"
        ) from error
    return written


def verify(path: str | Path, *, public_key: str | Path) -> None:
    """Check that a checkpoint is, to the byte, what the owner of a key signed; needs the extra ``signing``.

    Args:
        path: the checkpoint, with its signature beside it.
        public_key: the file of the key that belongs to the one that it was signed with, from somebody you trust.

    Raises:
        FileNotFoundError: if there is no such checkpoint, signature or key.
        ValueError: if the signature is of another file or another key, or is none.
    """
    path = _file(path, "a checkpoint", "save() writes one")
    key = _file(public_key, "a public key", "ask who signed the checkpoint for it")
    signature = _file(
        signature_of(path), "the checkpoint's signature", "fetch it with the checkpoint, or sign() it with your key"
    )
    verifying = require("model_signing", extra=_EXTRA).verifying
    try:
        if signature.stat().st_size > _LARGEST:
            raise ValueError(f"a signature of {signature.stat().st_size} bytes")
        verifying.Config().use_elliptic_key_verifier(public_key=key).verify(path.resolve(), signature)
    except Exception as error:
        raise ValueError(
            f"checkpoint {path}: expected a file that the owner of {key} signed, found one that {signature.name} "
            f"doesn't vouch for ({type(error).__name__}: {error}); don't use it before you know why"
        ) from error


def signature_of(path: Path) -> Path:
    """Where a checkpoint's signature lies.

    >>> signature_of(Path("digits.safetensors")).name
    'digits.safetensors.sig'
    """
    return path.with_name(f"{path.name}.sig")


def _file(path: str | Path, what: str, hint: str) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"signature: expected {what}, found no file {path}; {hint}")
    return path
