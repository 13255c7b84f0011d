//! What a home agent knows strangers by without remembering them.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::key_agreement::sixteen_octets;
use super::{KeyPair, PublicKey, ResumptionToken, TOKEN_LIFETIME};
use crate::Identity;

/// How long a cookie is good for.
pub const COOKIE_LIFETIME: Duration = Duration::from_secs(60);

/// How far the clocks of several processes with one secret may differ.
const CLOCK_TOLERANCE: u32 = 5;

/// How long cookies and tokens are made with one key.
const ROTATION: u64 = 3600;

/// A home agent's proof to itself that somebody received a message of its at some address: when
/// it was sent, and a code over that, the address and who it was sent to. Nobody else looks into it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cookie(pub [u8; Cookie::LENGTH]);

impl Cookie {
    /// Its octets.
    pub const LENGTH: usize = 20;

    /// What asks for one.
    pub const NONE: Self = Self([0; Self::LENGTH]);
}

/// Whether a cookie or token says that it was made before the second of this Unix time, which is as much as it
/// tells. Only who verified it knows that this is true.
pub(crate) fn is_older(sealed: &[u8; Cookie::LENGTH], unix_time: Duration) -> bool {
    let [a, b, c, d, ..] = *sealed;
    let made = u32::from_be_bytes([a, b, c, d]);
    // Half of all times are before any other: in 2106 the count begins again.
    made.wrapping_sub(seconds(unix_time)) > u32::MAX / 2
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({})", hex::encode(self.0))
    }
}

/// To whom a cookie is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimant<'a> {
    /// The home agent's address it was asked at.
    pub home_agent: IpAddr,
    /// The address it is sent to.
    pub source: IpAddr,
    /// The association it wants, or has.
    pub spi: u32,
    /// How it names itself.
    pub identity: &'a Identity,
}

/// Everything secret of a home agent but shared keys, from one seed of 32 octets. Processes with the
/// same seed understand each other's cookies and have the same public key.
#[derive(Clone)]
pub struct HomeAgentSecret {
    key_pair: KeyPair,
    cookies: SealKey,
    tokens: SealKey,
}

/// What is sent to somebody to come back is sealed with this.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct SealKey([u8; 32]);

impl HomeAgentSecret {
    /// What follows from this seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let derive = |purpose: &[u8]| {
            let mut octets = [0; 32];
            #[expect(
                clippy::expect_used,
                reason = "HKDF gives up to 255 digests (RFC 5869, section 2.3)"
            )]
            Hkdf::<Sha256>::new(None, seed)
                .expand(purpose, &mut octets)
                .expect("one digest");
            octets
        };
        Self {
            key_pair: KeyPair::new(derive(b"x25519")),
            cookies: SealKey(derive(b"cookies")),
            tokens: SealKey(derive(b"resumption")),
        }
    }

    /// With which keys are agreed.
    #[must_use]
    pub const fn key_pair(&self) -> &KeyPair {
        &self.key_pair
    }

    /// What mobile nodes know this home agent by.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.key_pair.public()
    }

    /// A cookie for this claimant, at this Unix time.
    #[must_use]
    pub fn cookie(&self, claimant: &Claimant<'_>, unix_time: Duration) -> Cookie {
        Cookie(self.cookies.seal(claimant, seconds(unix_time)))
    }

    /// Whether this claimant was given this cookie not longer than [`COOKIE_LIFETIME`] ago.
    #[must_use]
    pub fn verify(&self, cookie: &Cookie, claimant: &Claimant<'_>, unix_time: Duration) -> bool {
        self.cookies
            .verify(&cookie.0, claimant, unix_time, COOKIE_LIFETIME)
    }

    /// What spares this claimant the next cookie, from this Unix time on.
    #[must_use]
    pub fn token(&self, claimant: &Claimant<'_>, unix_time: Duration) -> ResumptionToken {
        ResumptionToken(self.tokens.seal(claimant, seconds(unix_time)))
    }

    /// Whether this claimant was given this token not longer than [`TOKEN_LIFETIME`] ago.
    #[must_use]
    pub fn verify_token(
        &self,
        token: &ResumptionToken,
        claimant: &Claimant<'_>,
        unix_time: Duration,
    ) -> bool {
        self.tokens
            .verify(&token.0, claimant, unix_time, TOKEN_LIFETIME)
    }
}

impl SealKey {
    fn verify(
        &self,
        sealed: &[u8; 20],
        claimant: &Claimant<'_>,
        unix_time: Duration,
        lifetime: Duration,
    ) -> bool {
        let [a, b, c, d, ..] = *sealed;
        let made = u32::from_be_bytes([a, b, c, d]);
        // Wrapping: in 2106 the count begins again.
        let age = seconds(unix_time)
            .wrapping_add(CLOCK_TOLERANCE)
            .wrapping_sub(made);
        let in_time = u64::from(age) <= lifetime.as_secs() + u64::from(CLOCK_TOLERANCE);
        in_time && bool::from(self.seal(claimant, made).ct_eq(sealed))
    }

    /// When it was made, and the first 16 octets of a code over that and the claimant.
    fn seal(&self, claimant: &Claimant<'_>, made: u32) -> [u8; 20] {
        // A key that was found out is of no use for long.
        let period = u64::from(made) / ROTATION;
        let key = code(&self.0, &[&period.to_be_bytes()]);
        let code = code(
            &key,
            &[
                &sixteen_octets(claimant.home_agent),
                &sixteen_octets(claimant.source),
                &claimant.spi.to_be_bytes(),
                &made.to_be_bytes(),
                claimant.identity.as_bytes(),
            ],
        );
        let mut sealed = [0; 20];
        let octets = made.to_be_bytes().into_iter().chain(code);
        for (place, octet) in sealed.iter_mut().zip(octets) {
            *place = octet;
        }
        sealed
    }
}

impl fmt::Debug for HomeAgentSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HomeAgentSecret")
            .field("public", &self.public())
            .finish_non_exhaustive()
    }
}

fn seconds(unix_time: Duration) -> u32 {
    // The low half counts.
    u32::try_from(unix_time.as_secs() % (1 << 32)).unwrap_or_default()
}

fn code(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(
        clippy::expect_used,
        reason = "HMAC takes keys of any length (RFC 2104, section 2)"
    )]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    #[test]
    fn a_cookie_is_good_for_one_claimant_and_a_minute() {
        let secret = HomeAgentSecret::from_seed(&[7; 32]);
        let identity = Identity::new("a@example.net").unwrap();
        let other = Identity::new("b@example.net").unwrap();
        let claimant = Claimant {
            home_agent: [192, 0, 2, 1].into(),
            source: [203, 0, 113, 10].into(),
            spi: 0x8000_0001,
            identity: &identity,
        };
        let cookie = secret.cookie(&claimant, NOW);
        let second = Duration::from_secs(1);
        assert!(secret.verify(&cookie, &claimant, NOW));
        assert!(secret.verify(&cookie, &claimant, NOW + COOKIE_LIFETIME));
        assert!(!secret.verify(&cookie, &claimant, NOW + COOKIE_LIFETIME + second));
        assert!(secret.verify(&cookie, &claimant, NOW - 5 * second));
        assert!(!secret.verify(&cookie, &claimant, NOW - 6 * second));
        let others = [
            Claimant {
                home_agent: [192, 0, 2, 2].into(),
                ..claimant
            },
            Claimant {
                source: [203, 0, 113, 11].into(),
                ..claimant
            },
            Claimant {
                spi: 0x8000_0002,
                ..claimant
            },
            Claimant {
                identity: &other,
                ..claimant
            },
        ];
        for other in others {
            assert!(!secret.verify(&cookie, &other, NOW), "{other:?}");
        }
        let shared = HomeAgentSecret::from_seed(&[7; 32]);
        assert!(
            shared.verify(&cookie, &claimant, NOW),
            "one secret, several processes"
        );
        let stranger = HomeAgentSecret::from_seed(&[8; 32]);
        assert!(!stranger.verify(&cookie, &claimant, NOW));
        assert!(!secret.verify(&Cookie::NONE, &claimant, NOW));
    }

    #[test]
    fn a_token_is_good_for_one_claimant_and_a_day_and_is_no_cookie() {
        let secret = HomeAgentSecret::from_seed(&[7; 32]);
        let identity = Identity::new("a@example.net").unwrap();
        let claimant = Claimant {
            home_agent: [192, 0, 2, 1].into(),
            source: [203, 0, 113, 10].into(),
            spi: 0x8000_0001,
            identity: &identity,
        };
        let token = secret.token(&claimant, NOW);
        let second = Duration::from_secs(1);
        assert!(secret.verify_token(&token, &claimant, NOW));
        assert!(secret.verify_token(&token, &claimant, NOW + TOKEN_LIFETIME));
        assert!(!secret.verify_token(&token, &claimant, NOW + TOKEN_LIFETIME + second));
        assert!(!secret.verify_token(&token, &claimant, NOW - 6 * second));
        let elsewhere = Claimant {
            source: [203, 0, 113, 11].into(),
            ..claimant
        };
        assert!(!secret.verify_token(&token, &elsewhere, NOW));
        let other = Claimant {
            spi: 0x8000_0002,
            ..claimant
        };
        assert!(!secret.verify_token(&token, &other, NOW));
        assert!(!secret.verify(&Cookie(token.0), &claimant, NOW));
        let cookie = secret.cookie(&claimant, NOW);
        assert!(!secret.verify_token(&ResumptionToken(cookie.0), &claimant, NOW));
    }

    #[test]
    fn both_sides_have_the_same_key_and_nobody_else() {
        let identity = Identity::new("a@example.net").unwrap();
        let at = [192, 0, 2, 1].into();
        let (mobile_node, home_agent) = (KeyPair::new([1; 32]), KeyPair::new([2; 32]));
        let theirs = mobile_node.with_home_agent(&home_agent.public(), at, &identity);
        let ours = home_agent.with_mobile_node(&mobile_node.public(), at, &identity);
        assert_eq!(theirs, ours);
        assert_eq!(
            ours.as_ref().map(|it| it.spi),
            Some(mobile_node.public().spi())
        );
        let elsewhere =
            home_agent.with_mobile_node(&mobile_node.public(), [192, 0, 2, 2].into(), &identity);
        let stranger = KeyPair::new([3; 32]).with_home_agent(&home_agent.public(), at, &identity);
        let named = Identity::new("b@example.net").unwrap();
        let otherwise = home_agent.with_mobile_node(&mobile_node.public(), at, &named);
        for other in [elsewhere, stranger, otherwise] {
            assert_ne!(other.unwrap().key, ours.as_ref().unwrap().key);
        }
        assert_eq!(
            mobile_node.with_home_agent(&PublicKey([0; 32]), at, &identity),
            None
        );
    }
}
