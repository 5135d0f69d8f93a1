//! `cyclr_sign`: HMAC and RSA signatures (PKCS #1 v1.5, RFC 8017 §8.2) of a text's UTF-8.
//!
//! The `rsa` crate signs with blinding; why that one is in `docs/decisions/0007-rsa-signatures.md`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use rsa::PrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use rsa::traits::PublicKeyParts;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use velodrome_types::Json;

use super::FunctionFault;
use super::entry::Args;

/// The algorithms, for people.
const ALGORITHMS: &str = "HMAC-SHA1, HMAC-SHA256, HMAC-SHA512, RSA-SHA1, RSA-SHA224, RSA-SHA256, \
                          RSA-SHA384, RSA-SHA512";
/// Bits of RSA keys that are taken. Shorter ones are broken, longer ones take a second to sign with.
const KEY_BITS: std::ops::RangeInclusive<u32> = 1_024..=4_096;
/// Bytes of a key's DER: a key of 4,096 bits takes some 2,400.
const KEY_BYTES: usize = 4_096;

pub(super) fn sign(args: Args<'_>) -> Result<Json, FunctionFault> {
    let algorithm = args.text(0, "algorithm")?;
    let key = args.text(1, "key")?;
    let value = args.text(2, "value")?.as_bytes();
    let encoding = args.text_or(3, "encoding", "base64")?;
    let write: fn(&[u8]) -> String = match encoding {
        "base64" => |bytes| STANDARD.encode(bytes),
        "base64url" => |bytes| URL_SAFE_NO_PAD.encode(bytes),
        "hex" => hex,
        _ => return Err(args.refused("`encoding` must be `base64`, `base64url` or `hex`")),
    };
    let rsa = |sign: fn(&PrivateKey, &[u8]) -> rsa::errors::Result<Vec<u8>>| {
        let key = private_key(key).map_err(|why| args.refused(why))?;
        sign(&key, value).map_err(|error| args.refused(format_args!("cannot sign: {error}")))
    };
    let signature = match algorithm.to_ascii_uppercase().as_str() {
        "HMAC-SHA1" => hmac::<Hmac<Sha1>>(key, value),
        "HMAC-SHA256" => hmac::<Hmac<Sha256>>(key, value),
        "HMAC-SHA512" => hmac::<Hmac<Sha512>>(key, value),
        "RSA-SHA1" => rsa(PrivateKey::pkcs1v15_sign::<Sha1>)?,
        "RSA-SHA224" => rsa(PrivateKey::pkcs1v15_sign::<Sha224>)?,
        "RSA-SHA256" => rsa(PrivateKey::pkcs1v15_sign::<Sha256>)?,
        "RSA-SHA384" => rsa(PrivateKey::pkcs1v15_sign::<Sha384>)?,
        "RSA-SHA512" => rsa(PrivateKey::pkcs1v15_sign::<Sha512>)?,
        _ => {
            let shown: String = algorithm.chars().take(40).collect();
            return Err(args.refused(format_args!(
                "there is no algorithm `{shown}`: use one of {ALGORITHMS}"
            )));
        }
    };
    Ok(Json::String(write(&signature)))
}

fn hmac<M: Mac + KeyInit>(key: &str, value: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key.as_bytes())
        .expect("a key of any length is taken by HMAC");
    mac.update(value);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// A key as PEM. Line ends may be anywhere or written as `\n`, as settings and JSON files often have
/// them. No part of the key is in the message.
fn private_key(pem: &str) -> Result<PrivateKey, String> {
    const PKCS8: &str = "PRIVATE KEY";
    const PKCS1: &str = "RSA PRIVATE KEY";
    let wanted = "write it as PEM, `-----BEGIN PRIVATE KEY-----` (PKCS #8) or `-----BEGIN RSA \
                  PRIVATE KEY-----` (PKCS #1)";
    let block = [PKCS1, PKCS8].into_iter().find_map(|label| {
        let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
        let (inner, _) = rest.split_once(&format!("-----END {label}-----"))?;
        Some((label, inner))
    });
    let Some((label, inner)) = block else {
        return Err(match pem.contains("ENCRYPTED") {
            true => "the key is encrypted: decrypt it before".to_owned(),
            false => format!("the key is no RSA private key: {wanted}"),
        });
    };
    if inner.len() > 2 * KEY_BYTES {
        return Err(too_long());
    }
    let compact: String = inner.replace("\\n", "").split_ascii_whitespace().collect();
    let unreadable = || format!("the key cannot be read: {wanted}");
    let der = STANDARD.decode(compact).map_err(|_| unreadable())?;
    if der.len() > KEY_BYTES {
        return Err(too_long());
    }
    let key = match label {
        PKCS1 => PrivateKey::from_pkcs1_der(&der).map_err(|_| unreadable())?,
        _ => PrivateKey::from_pkcs8_der(&der).map_err(|_| unreadable())?,
    };
    if !KEY_BITS.contains(&key.n().bit_width()) {
        return Err(too_long());
    }
    Ok(key)
}

fn too_long() -> String {
    format!(
        "the key is too short or too long: {} to {} bits are taken",
        KEY_BITS.start(),
        KEY_BITS.end()
    )
}
