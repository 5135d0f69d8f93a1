//! Signatures: reading them, and comparing them with what they should be.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit};
use secrecy::{ExposeSecret as _, SecretString};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use subtle::{Choice, ConstantTimeEq as _};
use velodrome_runtime::api::{HmacAlgorithm, HookSecret, SignatureEncoding};

/// Padded or not: senders differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// What Standard Webhooks' secrets begin with.
const STANDARD_PREFIX: &str = "whsec_";

/// The bytes of a signature.
pub(super) fn read(encoding: SignatureEncoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        SignatureEncoding::Hex => hex(text),
        SignatureEncoding::Base64 => base64(text),
    }
}

pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok().filter(|bytes| !bytes.is_empty())
}

/// Hexadecimal digits of either case.
pub(super) fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        })
        .collect();
    bytes.filter(|bytes| !bytes.is_empty())
}

/// The key of a Standard Webhooks secret, kept as the Base64 that it was: what it decodes to is no text.
pub(super) fn standard_key(secret: &SecretString) -> HookSecret {
    let text = secret.expose_secret();
    let encoded = text.strip_prefix(STANDARD_PREFIX).unwrap_or(text);
    match base64(encoded) {
        Some(_) => Ok(SecretString::from(encoded.to_owned())),
        None => Err(
            "nobody can call with a secret that is none of Standard Webhooks': Base64 behind `whsec_`"
                .to_owned(),
        ),
    }
}

/// How a signature is made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mac {
    /// With the secret's own characters as the key.
    Of(HmacAlgorithm),
    /// SHA-256, with the bytes that the secret encodes in Base64.
    Decoded,
}

impl Mac {
    pub(super) const SHA256: Self = Self::Of(HmacAlgorithm::Sha256);

    /// Whether one of these was made with this secret over these parts, in a time that tells nothing of
    /// which or how nearly.
    pub(super) fn fits(self, secret: &SecretString, parts: &[&[u8]], given: &[Vec<u8>]) -> Choice {
        let text = secret.expose_secret();
        let made = match self {
            Self::Decoded => match base64(text) {
                Some(key) => sign::<Hmac<Sha256>>(&key, parts),
                None => return Choice::from(0),
            },
            Self::Of(algorithm) => {
                let key = text.as_bytes();
                match algorithm {
                    HmacAlgorithm::Sha1 => sign::<Hmac<Sha1>>(key, parts),
                    HmacAlgorithm::Sha256 => sign::<Hmac<Sha256>>(key, parts),
                    HmacAlgorithm::Sha384 => sign::<Hmac<Sha384>>(key, parts),
                    HmacAlgorithm::Sha512 => sign::<Hmac<Sha512>>(key, parts),
                }
            }
        };
        given.iter().fold(Choice::from(0), |fits, given| {
            fits | made.as_slice().ct_eq(given)
        })
    }
}

fn sign<M: hmac::Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_read_in_either_writing() {
        assert_eq!(hex("00fFa1"), Some(vec![0, 255, 161]));
        for wrong in ["", "0", "0g", "00 ff", "+1", "é0"] {
            assert_eq!(hex(wrong), None, "{wrong}");
        }
        assert_eq!(base64("AP+h"), Some(vec![0, 255, 161]));
        assert_eq!(base64("AP8="), Some(vec![0, 255]));
        assert_eq!(base64("AP8"), Some(vec![0, 255]));
        for wrong in ["", "A", "AP-h", "AP 8", "===="] {
            assert_eq!(base64(wrong), None, "{wrong}");
        }
    }
}
