//! Mobile IPv4 registration (RFC 5944) behind the core: a Binding Update becomes a Registration
//! Request, a Registration Reply a Binding Acknowledgement.

use std::net::{IpAddr, Ipv4Addr};

use super::super::status::Drop;
use super::{BindingUpdate, Challenge, Hint, Tie, Verdict};
use crate::security::SecurityAssociation;
use crate::wire::mip4::{
    AuthenticationKind, Extension, Extensions, Message, Origin, PORT, RegistrationReply,
    RegistrationRequest, ReplyCode, RequestFlags, UdpTunnelRequest,
};
use crate::{Identity, Refusal, Transport};

/// What a Registration Request goes in.
pub(super) const TRANSPORT: Transport = Transport::Udp { port: PORT };

/// What a home agent says to an authenticator that it can't make.
pub(super) const KEY_REFUSED: u8 = ReplyCode::MOBILE_NODE_FAILED_AUTHENTICATION.0;

/// A Registration Reply, not authenticated yet.
#[derive(Debug, Clone)]
pub(in super::super) struct Reply<'a> {
    reply: RegistrationReply,
    payload: &'a [u8],
}

/// Whether a single host on the internet could have this address.
pub(super) fn is_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    !(first == 0
        || first >= 240
        || address.is_loopback()
        || address.is_multicast()
        || address.is_link_local()
        || address.is_broadcast())
}

/// Everything but "unspecified" (128), "insufficient resources" (130), a clock that differs (133)
/// and "too many bindings" (135) is a matter of configuration.
pub(super) const fn is_lasting(code: u8) -> bool {
    !matches!(code, 128 | 130 | 133 | 135)
}

/// The octets of a Registration Request; `None` where an address is not of IPv4.
pub(super) fn encode(
    update: &BindingUpdate<'_>,
    association: &SecurityAssociation,
) -> Option<Vec<u8>> {
    let home_address = match update.home_address {
        Some(home_address) => ipv4(home_address.ip())?,
        None => Ipv4Addr::UNSPECIFIED,
    };
    let mut extensions = Extensions::new();
    extensions.push(Extension::Nai(update.identity.clone()));
    extensions.push(Extension::UdpTunnelRequest(UdpTunnelRequest {
        force: false,
        registration_through_foreign_agent: false,
        encapsulation: 0,
    }));
    for element in update.elements.iter() {
        extensions.push(Extension::KeyAgreement(element));
    }
    let request = RegistrationRequest {
        flags: RequestFlags::CO_LOCATED,
        lifetime: update.lifetime,
        home_address,
        home_agent: ipv4(update.home_agent)?,
        care_of_address: match update.everywhere {
            false => ipv4(update.care_of.ip())?,
            // Naming the home address here means all bindings of it (RFC 5944, section 3.8.2.1).
            true => home_address,
        },
        identification: update.stamp.timestamp?,
        extensions,
    };
    Some(request.encode(association))
}

impl<'a> Reply<'a> {
    /// The reply in these octets.
    pub(super) fn decode(payload: &'a [u8]) -> Result<Self, Drop> {
        let message =
            Message::decode(payload).map_err(|error| Drop::Malformed(error.drop_reason()))?;
        match message {
            Message::RegistrationReply(reply) => Ok(Self { reply, payload }),
            Message::RegistrationRequest(_)
            | Message::TunnelData(_)
            | Message::Revocation(_)
            | Message::RevocationAcknowledgement(_)
            | Message::HomeTestInit(_)
            | Message::CareOfTestInit(_)
            | Message::HomeTest(_)
            | Message::CareOfTest(_) => Err(Drop::UnexpectedMessage),
        }
    }

    pub(super) const fn tie(&self) -> Tie {
        Tie::Low(self.reply.identification.low())
    }

    /// The half that is the home agent's (RFC 5944, section 5.7.2).
    pub(super) const fn nonce(&self) -> u32 {
        self.reply.identification.high()
    }

    pub(super) const fn refusal(&self) -> Refusal {
        Refusal {
            code: self.reply.code.0,
            name: self.reply.code.name(),
        }
    }

    /// What it says, once it is known to come from who shares `association` with us.
    ///
    /// The denials of foreign agents carry no proof, and are therefore never acted upon.
    pub(super) fn verify(
        &self,
        association: &SecurityAssociation,
        identity: &Identity,
    ) -> Result<Verdict, Drop> {
        let code = self.reply.code;
        match code.origin() {
            Origin::HomeAgent => {}
            Origin::ForeignAgent => return Err(Drop::ForeignAgentDenial),
            Origin::GatewayForeignAgent | Origin::CorrespondentRouter | Origin::Unknown => {
                return Err(Drop::UnknownCode);
            }
        }
        let extensions = &self.reply.extensions;
        let Some(authentication) = extensions.mobile_home_authentication() else {
            return Err(if extensions.iter().any(is_mobile_home) {
                Drop::AuthenticationRepeated
            } else {
                Drop::AuthenticationMissing
            });
        };
        if !authentication.is_valid(association, self.payload) {
            return Err(Drop::AuthenticationFailed);
        }
        if extensions.has_critical_vendor() || extensions.not_understood().is_some() {
            return Err(Drop::ExtensionNotUnderstood);
        }
        if extensions
            .nai()
            .is_some_and(|repeated| repeated != identity)
        {
            return Err(Drop::IdentityMismatch);
        }
        let refusal = self.refusal();
        if code == ReplyCode::EXPERIMENTAL
            && let Some(cookie) = extensions.cookie()
        {
            return Ok(Verdict::Challenged(Challenge {
                key_share: extensions.key_share(),
                cookie,
                refusal,
            }));
        }
        Ok(match code {
            code if code.is_accepted() => Verdict::Accepted {
                lifetime: self.reply.lifetime,
                home_address: self.reply.home_address.into(),
                home_agent: self.reply.home_agent.into(),
                cookie: extensions.cookie(),
                token: extensions.resumption_token(),
            },
            ReplyCode::IDENTIFICATION_MISMATCH => {
                Verdict::NotFresh(Hint::Clock(self.reply.identification.high()))
            }
            ReplyCode::UNKNOWN_HOME_AGENT_ADDRESS => Verdict::WrongHomeAgent {
                right: self.reply.home_agent.into(),
            },
            ReplyCode::ADMINISTRATIVELY_PROHIBITED => Verdict::Disowned(refusal),
            _ => Verdict::Refused(refusal),
        })
    }
}

fn is_mobile_home(extension: &Extension) -> bool {
    matches!(extension, Extension::Authentication(authentication) if authentication.kind == AuthenticationKind::MobileHome)
}

const fn ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}
