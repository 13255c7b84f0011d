//! Whose signatures count (DNSSEC, RFC 4033).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hickory_proto::dnssec::TrustAnchors;

/// The keys from which every chain of signatures must begin.
#[derive(Clone)]
pub struct TrustAnchor(Arc<TrustAnchors>);

/// Why some text names no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustAnchorError {
    /// A record is not one of a key, or not readable.
    #[error("the trust anchor is not made of DNSKEY records: {0}")]
    Malformed(String),
    /// There is no record.
    #[error("the trust anchor names no key")]
    Empty,
}

impl TrustAnchor {
    /// The keys of the root zone, as IANA publishes them.
    #[must_use]
    pub fn root() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn keys(&self) -> Arc<TrustAnchors> {
        Arc::clone(&self.0)
    }
}

/// DNSKEY records in the form of zone files (RFC 1035 5.1), with absolute names:
/// `example. 3600 IN DNSKEY 257 3 15 <base64>`. Comments begin with a semicolon.
impl FromStr for TrustAnchor {
    type Err = TrustAnchorError;

    fn from_str(text: &str) -> Result<Self, TrustAnchorError> {
        let is_record = |line: &str| !line.is_empty() && !line.starts_with(';');
        if !text.lines().map(str::trim).any(is_record) {
            return Err(TrustAnchorError::Empty);
        }
        match TrustAnchors::from_str(text) {
            Ok(keys) => Ok(Self(Arc::new(keys))),
            Err(error) => Err(TrustAnchorError::Malformed(error.to_string())),
        }
    }
}

impl fmt::Debug for TrustAnchor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TrustAnchor(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_keys_are_an_anchor() {
        let key = "example. 3600 IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=";
        assert!(format!("; ours\n{key}\n").parse::<TrustAnchor>().is_ok());
        for empty in ["", "\n \n", "; nothing\n"] {
            assert_eq!(
                empty.parse::<TrustAnchor>().err(),
                Some(TrustAnchorError::Empty)
            );
        }
        for bad in ["example. 3600 IN A 192.0.2.1\n", "rubbish\n"] {
            let refused = bad.parse::<TrustAnchor>();
            assert!(
                matches!(refused, Err(TrustAnchorError::Malformed(_))),
                "{bad}"
            );
        }
    }
}
