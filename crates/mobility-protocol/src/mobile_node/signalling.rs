//! The only place that knows by which protocol a home agent is spoken to: Mobile IPv4 registration
//! (RFC 5944).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::event::Refusal;
use super::status::Drop;
use crate::security::SecurityAssociation;
use crate::wire::mip4::{
    AuthenticationKind, Extension, Extensions, Identification, Message, Origin, PORT,
    RegistrationReply, RegistrationRequest, ReplyCode, RequestFlags, UdpTunnelRequest,
};
use crate::{CareOfAddress, HomeAddress, Identity, Lifetime};

/// A Binding Update.
#[derive(Debug, Clone, Copy)]
pub(super) struct BindingUpdate<'a> {
    pub(super) identity: &'a Identity,
    /// `None` asks for one.
    pub(super) home_address: Option<HomeAddress>,
    pub(super) home_agent: IpAddr,
    /// `None` means every one the home agent knows (a release only).
    pub(super) care_of: Option<CareOfAddress>,
    pub(super) lifetime: Lifetime,
    pub(super) identification: Identification,
}

/// A Binding Acknowledgement, not authenticated yet.
#[derive(Debug, Clone)]
pub(super) struct BindingAcknowledgement {
    reply: RegistrationReply,
}

/// What a Binding Acknowledgement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted {
        lifetime: Lifetime,
        home_address: IpAddr,
        home_agent: IpAddr,
    },
    /// The high half of the Identification is the home agent's clock.
    WrongTime {
        high: u32,
    },
    WrongHomeAgent {
        right: IpAddr,
    },
    /// There is no such binding, or not at this care-of address.
    Disowned(Refusal),
    Refused(Refusal),
}

/// Whether home agents and paths with this address can be used at all.
pub(super) fn is_supported(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_host(address),
        IpAddr::V6(_) => false,
    }
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

/// Where Binding Updates to this home agent go.
pub(super) const fn destination(home_agent: IpAddr) -> SocketAddr {
    SocketAddr::new(home_agent, PORT)
}

/// The octets of a Binding Update; `None` where its addresses are not of one family.
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
    let request = RegistrationRequest {
        flags: RequestFlags::CO_LOCATED,
        lifetime: update.lifetime,
        home_address,
        home_agent: ipv4(update.home_agent)?,
        care_of_address: match update.care_of {
            Some(care_of) => ipv4(care_of.ip())?,
            // Naming the home address here means all bindings of it (RFC 5944, section 3.8.2.1).
            None => home_address,
        },
        identification: update.identification,
        extensions,
    };
    Some(request.encode(association))
}

impl BindingAcknowledgement {
    /// The acknowledgement in these octets.
    pub(super) fn decode(payload: &[u8]) -> Result<Self, Drop> {
        match Message::decode(payload).map_err(Drop::Malformed)? {
            Message::RegistrationReply(reply) => Ok(Self { reply }),
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

    /// What ties it to its request.
    pub(super) const fn low(&self) -> u32 {
        self.reply.identification.low()
    }

    pub(super) const fn code(&self) -> u8 {
        self.reply.code.0
    }

    /// What it says, once it is known to come from who shares `association` with us.
    ///
    /// The denials of foreign agents carry no proof, and are therefore never acted upon.
    pub(super) fn verify(
        &self,
        payload: &[u8],
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
        if !authentication.is_valid(association, payload) {
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
        let refusal = Refusal {
            code: code.0,
            name: code.name(),
        };
        Ok(match code {
            code if code.is_accepted() => Verdict::Accepted {
                lifetime: self.reply.lifetime,
                home_address: self.reply.home_address.into(),
                home_agent: self.reply.home_agent.into(),
            },
            ReplyCode::IDENTIFICATION_MISMATCH => Verdict::WrongTime {
                high: self.reply.identification.high(),
            },
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
