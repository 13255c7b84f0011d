//! The extensions of one message, and what a machine asks of them.

use super::super::authentication::{Authentication, AuthenticationKind};
use super::super::iana::GeneralizedAuthenticationSubtype;
use super::super::{DecodeError, ExtensionType};
use super::{Extension, Frames, RevocationSupport, UdpTunnelReply, UdpTunnelRequest};
use crate::Identity;
use crate::security::{Cookie, PublicKey, ResumptionToken};
use crate::wire::KeyAgreement;

/// The extensions of one message, in order.
///
/// What comes after the first extension that authorises the message is not covered by it, so the
/// questions by content ([`Extensions::nai`] and the like) look only at what comes before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extensions(Vec<Extension>);

impl Extensions {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// All of them, protected or not.
    #[must_use]
    pub fn as_slice(&self) -> &[Extension] {
        &self.0
    }

    /// All of them, protected or not.
    pub fn iter(&self) -> std::slice::Iter<'_, Extension> {
        self.0.iter()
    }

    /// Adds one at the end.
    pub fn push(&mut self, extension: Extension) {
        self.0.push(extension);
    }

    /// The one Mobile-Home Authentication extension. A message with several is like one with none:
    /// it says nothing that could be relied on.
    #[must_use]
    pub fn mobile_home_authentication(&self) -> Option<&Authentication> {
        let mut found = self.authentications(AuthenticationKind::MobileHome);
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// The one MN-AAA Authentication extension (RFC 4721).
    #[must_use]
    pub fn mn_aaa_authentication(&self) -> Option<&Authentication> {
        let kind = AuthenticationKind::Generalized(GeneralizedAuthenticationSubtype::MN_AAA);
        let mut found = self.authentications(kind);
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// Those before the first extension that authorises the message; all of them if none does.
    #[must_use]
    pub fn protected(&self) -> &[Extension] {
        self.split().0
    }

    /// Those after the first extension that authorises the message. They may have been changed or
    /// added by anybody on the way.
    #[must_use]
    pub fn unprotected(&self) -> &[Extension] {
        self.split().1
    }

    /// Who the mobile node is (RFC 2794).
    #[must_use]
    pub fn nai(&self) -> Option<&Identity> {
        self.protected().iter().find_map(|extension| {
            if let Extension::Nai(identity) = extension {
                Some(identity)
            } else {
                None
            }
        })
    }

    /// The mobile node's offer to tunnel in UDP (RFC 3519).
    #[must_use]
    pub fn udp_tunnel_request(&self) -> Option<UdpTunnelRequest> {
        self.protected().iter().find_map(|extension| {
            if let Extension::UdpTunnelRequest(request) = extension {
                Some(*request)
            } else {
                None
            }
        })
    }

    /// The home agent's answer to an offer to tunnel in UDP (RFC 3519).
    #[must_use]
    pub fn udp_tunnel_reply(&self) -> Option<UdpTunnelReply> {
        self.protected().iter().find_map(|extension| {
            if let Extension::UdpTunnelReply(reply) = extension {
                Some(*reply)
            } else {
                None
            }
        })
    }

    /// The public key of the sender.
    #[must_use]
    pub fn key_share(&self) -> Option<PublicKey> {
        self.key_agreement(KeyAgreement::key_share)
    }

    /// The cookie of the home agent.
    #[must_use]
    pub fn cookie(&self) -> Option<Cookie> {
        self.key_agreement(KeyAgreement::cookie)
    }

    /// What a mobile node that comes back has of the home agent.
    #[must_use]
    pub fn resumption_token(&self) -> Option<ResumptionToken> {
        self.key_agreement(KeyAgreement::resumption_token)
    }

    /// The peer's wish to receive revocations (RFC 3543).
    #[must_use]
    pub fn revocation_support(&self) -> Option<RevocationSupport> {
        self.protected().iter().find_map(|extension| {
            if let Extension::RevocationSupport(support) = extension {
                Some(*support)
            } else {
                None
            }
        })
    }

    /// Whether there is a critical vendor extension. Who can't interpret it answers 140 (a home
    /// agent, to a mobile node) or takes the reply for a denial (RFC 3115, section 2).
    #[must_use]
    pub fn has_critical_vendor(&self) -> bool {
        self.0
            .iter()
            .any(|extension| matches!(extension, Extension::CriticalVendor(_)))
    }

    /// The first extension whose type is known and must not be skipped, but whose content is kept
    /// opaque here: a receiver that gives it no meaning of its own drops the message silently.
    #[must_use]
    pub fn not_understood(&self) -> Option<ExtensionType> {
        self.0.iter().find_map(|extension| {
            if let Extension::Opaque(opaque) = extension
                && opaque.extension_type.0 < 128
            {
                Some(opaque.extension_type)
            } else {
                None
            }
        })
    }

    /// Those of `payload` from `offset` to its end.
    pub(in super::super) fn decode(payload: &[u8], offset: usize) -> Result<Self, DecodeError> {
        Frames::new(payload, offset)
            .map(|frame| Extension::decode(&frame?))
            .collect()
    }

    pub(in super::super) fn encode(&self, octets: &mut Vec<u8>) {
        for extension in &self.0 {
            extension.encode(octets);
        }
    }

    /// The first element of a key agreement that says this.
    fn key_agreement<T>(&self, read: impl Fn(&KeyAgreement) -> Option<T>) -> Option<T> {
        self.protected().iter().find_map(|extension| {
            if let Extension::KeyAgreement(element) = extension {
                read(element)
            } else {
                None
            }
        })
    }

    fn authentications(&self, kind: AuthenticationKind) -> impl Iterator<Item = &Authentication> {
        self.0.iter().filter_map(move |extension| {
            if let Extension::Authentication(authentication) = extension
                && authentication.kind == kind
            {
                Some(authentication)
            } else {
                None
            }
        })
    }

    fn split(&self) -> (&[Extension], &[Extension]) {
        match self.0.iter().position(Extension::is_authorising) {
            Some(position) => {
                let (protected, rest) = self.0.split_at(position);
                (protected, rest.get(1..).unwrap_or_default())
            }
            None => (&self.0, &[]),
        }
    }
}

impl From<Vec<Extension>> for Extensions {
    fn from(extensions: Vec<Extension>) -> Self {
        Self(extensions)
    }
}

impl FromIterator<Extension> for Extensions {
    fn from_iter<I: IntoIterator<Item = Extension>>(extensions: I) -> Self {
        Self(extensions.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Extensions {
    type Item = &'a Extension;
    type IntoIter = std::slice::Iter<'a, Extension>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
