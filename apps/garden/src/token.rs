//! The tokens of the players: JSON Web Tokens, HS256 only.
//!
//! jsonwebtoken gets its HMAC from ring, which TLS uses already: its own `rust_crypto` would bring RSA and the
//! elliptic curves for one hash, and aws-lc is not built here.

use std::sync::Arc;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use ring::hmac;
use serde::Deserialize;

/// Knows a valid token from others.
#[derive(Clone)]
pub(super) struct Tokens(Arc<(DecodingKey, Validation)>);

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

impl Tokens {
    pub(super) fn new(secret: &str) -> Self {
        // It fails where it was done before: jsonwebtoken has one provider for the whole process.
        let _ = RING.install_default();
        // What this validates is the crate's default: `exp` is required, with 60 s for clocks that differ, and a token
        // for an audience is for somebody else (RFC 7519 §4.1.3).
        Self(Arc::new((
            DecodingKey::from_secret(secret.as_bytes()),
            Validation::new(Algorithm::HS256),
        )))
    }

    /// The user (`sub`) whom a valid token names.
    pub(super) fn user(&self, token: &str) -> Option<String> {
        let (key, validation) = &*self.0;
        let token = decode::<Claims>(token, key, validation).ok()?;
        Some(token.claims.sub)
    }
}

static RING: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256(hmac::Key::new(
            hmac::HMAC_SHA256,
            key.try_get_as_bytes()?,
        )))),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    },
    key_utils: KeyUtils::new_unimplemented(),
};

struct Hs256(hmac::Key);

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        hmac::verify(&self.0, message, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7515 §A.1, whose `exp` has passed in 2011.
    const RFC_TOKEN: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const RFC_KEY: &[u8] = &[
        3, 35, 53, 75, 43, 15, 165, 188, 131, 126, 6, 101, 119, 123, 166, 143, 90, 179, 40, 230,
        240, 84, 201, 40, 169, 15, 132, 178, 210, 80, 46, 191, 211, 251, 90, 146, 210, 6, 71, 239,
        150, 138, 180, 195, 119, 98, 61, 34, 61, 46, 33, 114, 5, 46, 79, 8, 192, 205, 154, 245,
        103, 208, 128, 163,
    ];

    #[test]
    fn the_signature_of_the_rfc_is_right() {
        let _ = RING.install_default();
        let (message, signature) = RFC_TOKEN.rsplit_once('.').expect("three parts");
        let key = DecodingKey::from_secret(RFC_KEY);
        let verify = |message: &str| {
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, Algorithm::HS256)
        };
        assert!(verify(message).expect("a signature"));
        assert!(!verify(&message.replace("eyJpc3Mi", "eyJpc3Mj")).expect("a signature"));
    }

    #[test]
    fn what_is_no_token_names_nobody() {
        let tokens = Tokens::new("secret");
        for token in ["", ".", "..", "...", "a.b.c", "%", "a b", RFC_TOKEN] {
            assert_eq!(tokens.user(token), None, "{token}");
        }
    }
}
