"""Who made a bundle: an Ed25519 signature of `manifest.json`, beside it in `manifest.json.sig`.

The manifest holds the SHA-256 of every other file, so that one signature covers the bundle. The signature is the 64
raw bytes and keys are PEM files, so that openssl reads and writes all of them.
"""

from pathlib import Path

from runtime.errors import BundleError, LotteryError, require_extra
from runtime.files import write_atomic
from runtime.foreign import short

SIGNATURE_NAME = "manifest.json.sig"
SIGNATURE_BYTES = 64
EXTRA = "sign"
_MAX_KEY_BYTES = 1 << 16
_MAKE_KEYS = "make a pair of keys with: lottery-export keygen KEY"


def make_keys(path):
    """Write a new pair of keys: the private one to `path`, for its owner's eyes alone, the public one to `path`.pub.

    Args:
        path: neither file may exist.
    Returns:
        (private, public): their paths.
    Raises:
        LotteryError: a file is there already, or cannot be written.
        MissingExtraError: the package `cryptography` is not installed.
    """
    serialization, ed25519 = _import()
    private_path = Path(path)
    public_path = private_path.with_name(private_path.name + ".pub")
    for each in (private_path, public_path):
        if each.exists():
            raise LotteryError(f"{each}: exists already: a key is not replaced", hint="choose another name")
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_atomic(private_path, private, mode=0o600)
    write_atomic(public_path, public)
    return private_path, public_path


def load_private_key(path):
    """Return the key that signs, from a PEM file without a passphrase.

    Raises:
        LotteryError: the file cannot be read, or holds no such key.
        MissingExtraError: the package `cryptography` is not installed.
    """
    serialization, ed25519 = _import()
    return _load_key(path, lambda data: serialization.load_pem_private_key(data, None), ed25519.Ed25519PrivateKey)


def write_signature(bundle, *, key):
    """Sign the `manifest.json` in a directory.

    Args:
        bundle: the directory.
        key: what load_private_key returned.
    """
    content = (Path(bundle) / "manifest.json").read_bytes()
    write_atomic(Path(bundle) / SIGNATURE_NAME, key.sign(content))


def check_signature(content, *, path, key):
    """Check who signed a manifest.

    Args:
        content: bytes of `manifest.json`.
        path: the signature's file.
        key: path of the public key, a PEM file.
    Raises:
        BundleError: there is no signature, or it is not of these bytes by that key.
        LotteryError: the file of the key cannot be read, or holds no Ed25519 public key.
        MissingExtraError: the package `cryptography` is not installed.
    """
    serialization, ed25519 = _import()
    public_key = _load_key(key, serialization.load_pem_public_key, ed25519.Ed25519PublicKey)
    try:
        with open(path, "rb") as file:
            signature = file.read(SIGNATURE_BYTES + 1)
    except OSError as error:
        raise BundleError(
            f"{path}: no signature: {error.strerror}", hint="ask for a signed bundle, or drop --require-signature"
        ) from error
    invalid = require_extra("cryptography.exceptions", extra=EXTRA).InvalidSignature
    try:
        public_key.verify(signature, content)
    except (invalid, ValueError) as error:
        raise BundleError(
            f"{path}: manifest.json is not what the owner of {key} signed",
            hint="do not use this bundle; get it again from who signed it, or check the key",
        ) from error


def _import():
    base = "cryptography.hazmat.primitives"
    serialization = require_extra(f"{base}.serialization", extra=EXTRA)
    return serialization, require_extra(f"{base}.asymmetric.ed25519", extra=EXTRA)


def _load_key(path, parse, kind):
    unsupported = require_extra("cryptography.exceptions", extra=EXTRA).UnsupportedAlgorithm
    try:
        with open(path, "rb") as file:
            key = parse(file.read(_MAX_KEY_BYTES))
    except OSError as error:
        raise LotteryError(f"{path}: cannot read the key: {error.strerror}", hint=_MAKE_KEYS) from error
    # TypeError: it is encrypted with a passphrase.
    except (ValueError, TypeError, unsupported) as error:
        raise LotteryError(f"{path}: not a key that can be used: {short(error)}", hint=_MAKE_KEYS) from error
    if not isinstance(key, kind):
        raise LotteryError(f"{path}: an {type(key).__name__}, expected an {kind.__name__}", hint=_MAKE_KEYS)
    return key
