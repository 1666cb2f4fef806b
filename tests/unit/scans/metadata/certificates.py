"""A certificate for content credentials, signed by an unknown authority."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def write_certificate(folder: Path, *, days_left: float = 2, self_signed: bool = False) -> tuple[Path, Path]:
    """Write a certificate chain and the signer's private key; return the paths of the two PEM files.

    With `self_signed`, the chain is the signer's own certificate alone.
    """
    signer = ec.generate_private_key(ec.SECP256R1())
    authority = signer if self_signed else ec.generate_private_key(ec.SECP256R1())
    issuer = "Signer" if self_signed else "Authority"
    root = _builder("Authority", "Authority", authority.public_key(), authority.public_key(), days_left)
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    leaf = _builder("Signer", issuer, signer.public_key(), authority.public_key(), days_left)
    leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    root = root.add_extension(_usage(signs_certificates=True), critical=True)
    leaf = leaf.add_extension(_usage(signs_certificates=False), critical=True)
    chain, key = folder / "chain.pem", folder / "key.pem"
    certificates = [builder.sign(authority, hashes.SHA256()) for builder in ((leaf,) if self_signed else (leaf, root))]
    chain.write_bytes(b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates))
    pkcs8 = serialization.PrivateFormat.PKCS8
    key.write_bytes(signer.private_bytes(serialization.Encoding.PEM, pkcs8, serialization.NoEncryption()))
    return chain, key


def _builder(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    days_left: float,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days_left))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _name(common: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test archive")
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
