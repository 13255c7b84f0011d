//! Extensions: what may follow the fixed part of a message (RFC 5944, sections 1.8 to 1.11).

mod content;
mod frame;
mod list;

pub use content::{
    DynamicHomeAgent, DynamicHomeAgentLayout, DynamicHomeAgentRole, MobileNetworkAcknowledgement,
    MobileNetworkRequest, RevocationSupport, UdpTunnelReply, UdpTunnelRequest, VendorExtension,
};
pub(crate) use frame::{Frame, Frames};
pub use frame::{Framing, MAX_EXTENSIONS};
pub use list::Extensions;

use super::authentication::{
    Authentication, AuthenticationKind, MobileCorrespondentAuthentication,
};
use super::iana::GeneralizedAuthenticationSubtype;
use super::{DecodeError, ExtensionType, Reader};
use crate::Identity;
use crate::wire::{KeyAgreement, Octets};

/// An extension of a control message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extension {
    /// So many padding octets in a row (extension 0, RFC 5944).
    Padding(usize),
    /// Extensions 32, 33, 34 and 36.
    Authentication(Authentication),
    /// Extension 49, subtype 2 (RFC 6521).
    MobileCorrespondentAuthentication(MobileCorrespondentAuthentication),
    /// Extension 38: must be understood (RFC 3115, section 2.1).
    CriticalVendor(VendorExtension<65_529>),
    /// Extension 134: may be skipped (RFC 3115, section 2.2).
    NormalVendor(VendorExtension<247>),
    /// Extension 44 (RFC 3519).
    UdpTunnelReply(UdpTunnelReply),
    /// Extension 45: what the foreign agent found wrong (RFC 4636).
    ForeignAgentError(u8),
    /// Extension 48: the key of a GRE tunnel (RFC 6245).
    GreKey(u32),
    /// Extension 131: who the mobile node is (RFC 2794).
    Nai(Identity),
    /// Extension 132: the challenge the mobile node answers (RFC 4721).
    Challenge(Octets<255>),
    /// Extension 137 (RFC 3543).
    RevocationSupport(RevocationSupport),
    /// Extension 139 (RFC 4433).
    DynamicHomeAgent(DynamicHomeAgent),
    /// Extension 144 (RFC 3519).
    UdpTunnelRequest(UdpTunnelRequest),
    /// Extension 145: a text for the user, from the home agent (1) or the foreign agent (2)
    /// (RFC 4917).
    MessageString {
        /// Who says it.
        subtype: u8,
        /// The text.
        text: Octets<254>,
    },
    /// Extension 148, subtype 0 (RFC 5177).
    MobileNetworkRequest(MobileNetworkRequest),
    /// Extension 148, subtypes 1 and 2 (RFC 5177).
    MobileNetworkAcknowledgement(MobileNetworkAcknowledgement),
    /// Extension 151: the service asked for (RFC 5446).
    ServiceSelection(Octets<255>),
    /// Extension 255, where it is about a key (RFC 4064).
    KeyAgreement(KeyAgreement),
    /// Anything else that is known or may be skipped.
    Opaque(Opaque),
}

/// An extension whose content is not looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opaque {
    /// Its type.
    pub extension_type: ExtensionType,
    /// Its content, by the shape of its header.
    pub content: OpaqueContent,
}

/// The content of an [`Opaque`] extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpaqueContent {
    /// Behind an 8-bit length. In the short format the first octet is the subtype.
    Octet(Octets<255>),
    /// Behind a subtype and a 16-bit length.
    Word {
        /// The subtype.
        subtype: u8,
        /// What follows the length.
        data: Octets<65_535>,
    },
}

impl Extension {
    /// Its type.
    #[must_use]
    pub const fn extension_type(&self) -> ExtensionType {
        match self {
            Self::Padding(_) => ExtensionType::PADDING,
            Self::Authentication(authentication) => authentication.extension_type(),
            Self::MobileCorrespondentAuthentication(_) => ExtensionType::ROUTE_OPTIMIZATION,
            Self::CriticalVendor(_) => ExtensionType::CRITICAL_VENDOR,
            Self::NormalVendor(_) => ExtensionType::NORMAL_VENDOR,
            Self::UdpTunnelReply(_) => ExtensionType::UDP_TUNNEL_REPLY,
            Self::ForeignAgentError(_) => ExtensionType::FOREIGN_AGENT_ERROR,
            Self::GreKey(_) => ExtensionType::GRE_KEY,
            Self::Nai(_) => ExtensionType::NAI,
            Self::Challenge(_) => ExtensionType::CHALLENGE,
            Self::RevocationSupport(_) => ExtensionType::REVOCATION_SUPPORT,
            Self::DynamicHomeAgent(_) => ExtensionType::DYNAMIC_HOME_AGENT,
            Self::UdpTunnelRequest(_) => ExtensionType::UDP_TUNNEL_REQUEST,
            Self::MessageString { .. } => ExtensionType::MESSAGE_STRING,
            Self::MobileNetworkRequest(_) | Self::MobileNetworkAcknowledgement(_) => {
                ExtensionType::MOBILE_NETWORK
            }
            Self::ServiceSelection(_) => ExtensionType::SERVICE_SELECTION,
            Self::KeyAgreement(_) => ExtensionType::EXPERIMENTAL_SKIPPABLE,
            Self::Opaque(opaque) => opaque.extension_type,
        }
    }

    /// Whether it can make the message acceptable to its final recipient, so that what follows it
    /// is outside its protection (RFC 5944, section 1.6, and RFC 4721; for a correspondent router
    /// RFC 6521).
    pub(super) const fn is_authorising(&self) -> bool {
        if let Self::Authentication(authentication) = self {
            matches!(
                authentication.kind,
                AuthenticationKind::MobileHome | AuthenticationKind::Generalized(_)
            )
        } else {
            matches!(self, Self::MobileCorrespondentAuthentication(_))
        }
    }

    pub(crate) fn decode(frame: &Frame<'_>) -> Result<Self, DecodeError> {
        let extension = match frame.framing {
            Framing::Padding { octets } => Ok(Self::Padding(octets)),
            Framing::Octet => Self::decode_octet(frame),
            Framing::Word { subtype } => Self::decode_word(frame, subtype),
        };
        extension.map_err(|reason| DecodeError::MalformedExtension {
            extension: frame.extension_type,
            offset: frame.offset,
            length: frame.data.len(),
            reason,
        })
    }

    fn decode_octet(frame: &Frame<'_>) -> Result<Self, &'static str> {
        let whole = Reader::new(frame.data);
        let mut reader = whole;
        let subtype = reader.u8();
        Ok(match (frame.extension_type, subtype) {
            (ExtensionType::MOBILE_HOME_AUTHENTICATION, _) => Self::Authentication(
                Authentication::decode(AuthenticationKind::MobileHome, frame)?,
            ),
            (ExtensionType::MOBILE_FOREIGN_AUTHENTICATION, _) => Self::Authentication(
                Authentication::decode(AuthenticationKind::MobileForeign, frame)?,
            ),
            (ExtensionType::FOREIGN_HOME_AUTHENTICATION, _) => Self::Authentication(
                Authentication::decode(AuthenticationKind::ForeignHome, frame)?,
            ),
            (ExtensionType::ROUTE_OPTIMIZATION, Some(2)) => {
                Self::MobileCorrespondentAuthentication(
                    MobileCorrespondentAuthentication::decode(frame, reader)
                        .ok_or("nonce indices and authenticator")?,
                )
            }
            (ExtensionType::UDP_TUNNEL_REPLY, Some(0)) => {
                Self::UdpTunnelReply(UdpTunnelReply::decode(reader).ok_or("6 octets")?)
            }
            (ExtensionType::FOREIGN_AGENT_ERROR, Some(0)) => match reader.rest() {
                [status] => Self::ForeignAgentError(*status),
                _ => return Err("2 octets"),
            },
            (ExtensionType::NAI, _) => {
                Self::Nai(Identity::new(frame.data).map_err(|_| "1 to 255 octets")?)
            }
            (ExtensionType::CHALLENGE, _) => {
                Self::Challenge(Octets::new(frame.data).map_err(|_| "at most 255 octets")?)
            }
            (ExtensionType::NORMAL_VENDOR, _) => {
                let mut reader = whole;
                reader.u16().ok_or("at least 8 octets")?;
                Self::NormalVendor(VendorExtension::decode(reader).ok_or("at least 8 octets")?)
            }
            (ExtensionType::REVOCATION_SUPPORT, _) => {
                Self::RevocationSupport(RevocationSupport::decode(whole).ok_or("6 octets")?)
            }
            (ExtensionType::DYNAMIC_HOME_AGENT, Some(subtype @ (1 | 2))) => Self::DynamicHomeAgent(
                DynamicHomeAgent::decode(subtype, reader, DynamicHomeAgentLayout::Short)
                    .ok_or("5 octets")?,
            ),
            (ExtensionType::UDP_TUNNEL_REQUEST, Some(0)) => {
                match UdpTunnelRequest::decode(reader).ok_or("6 octets")? {
                    Some(request) => Self::UdpTunnelRequest(request),
                    None => Self::opaque(frame)?,
                }
            }
            (ExtensionType::MESSAGE_STRING, Some(subtype)) => Self::MessageString {
                subtype,
                text: Octets::new(reader.rest()).map_err(|_| "at most 254 octets of text")?,
            },
            (ExtensionType::MOBILE_NETWORK, Some(0)) => {
                Self::MobileNetworkRequest(MobileNetworkRequest::decode(reader).ok_or("6 octets")?)
            }
            (ExtensionType::MOBILE_NETWORK, Some(subtype @ (1 | 2))) => {
                Self::MobileNetworkAcknowledgement(
                    MobileNetworkAcknowledgement::decode(subtype == 1, reader).ok_or("8 octets")?,
                )
            }
            (ExtensionType::SERVICE_SELECTION, Some(_)) => {
                Self::ServiceSelection(Octets::new(frame.data).map_err(|_| "1 to 255 octets")?)
            }
            (ExtensionType::SERVICE_SELECTION, None) => return Err("1 to 255 octets"),
            (ExtensionType::EXPERIMENTAL_SKIPPABLE, _) => match KeyAgreement::decode(frame.data) {
                Some(element) => Self::KeyAgreement(element),
                None => Self::opaque(frame)?,
            },
            (ExtensionType::UDP_TUNNEL_REPLY | ExtensionType::UDP_TUNNEL_REQUEST, None) => {
                return Err("6 octets");
            }
            _ => Self::opaque(frame)?,
        })
    }

    fn decode_word(frame: &Frame<'_>, subtype: u8) -> Result<Self, &'static str> {
        let reader = Reader::new(frame.data);
        Ok(match (frame.extension_type, subtype) {
            (ExtensionType::GENERALIZED_AUTHENTICATION, _) => {
                let kind =
                    AuthenticationKind::Generalized(GeneralizedAuthenticationSubtype(subtype));
                Self::Authentication(Authentication::decode(kind, frame)?)
            }
            (ExtensionType::CRITICAL_VENDOR, _) => {
                Self::CriticalVendor(VendorExtension::decode(reader).ok_or("at least 6 octets")?)
            }
            (ExtensionType::GRE_KEY, 0) => match *frame.data {
                [a, b, c, d] => Self::GreKey(u32::from_be_bytes([a, b, c, d])),
                _ => return Err("4 octets"),
            },
            (ExtensionType::DYNAMIC_HOME_AGENT, _) => Self::DynamicHomeAgent(
                DynamicHomeAgent::decode(subtype, reader, DynamicHomeAgentLayout::Long)
                    .ok_or("4 octets")?,
            ),
            _ => Self::opaque(frame)?,
        })
    }

    fn opaque(frame: &Frame<'_>) -> Result<Self, &'static str> {
        let content = match frame.framing {
            Framing::Word { subtype } => OpaqueContent::Word {
                subtype,
                data: Octets::new(frame.data).map_err(|_| "at most 65535 octets")?,
            },
            Framing::Octet | Framing::Padding { .. } => {
                OpaqueContent::Octet(Octets::new(frame.data).map_err(|_| "at most 255 octets")?)
            }
        };
        Ok(Self::Opaque(Opaque {
            extension_type: frame.extension_type,
            content,
        }))
    }

    pub(super) fn encode(&self, octets: &mut Vec<u8>) {
        let extension_type = self.extension_type();
        match self {
            Self::Padding(count) => octets.resize(octets.len() + count, 0),
            Self::Authentication(authentication) => match authentication.kind {
                AuthenticationKind::Generalized(subtype) => {
                    put_word(octets, extension_type, subtype.0, &authentication.data());
                }
                AuthenticationKind::MobileHome
                | AuthenticationKind::MobileForeign
                | AuthenticationKind::ForeignHome => {
                    put_octet(octets, extension_type, &[&authentication.data()])
                }
            },
            Self::MobileCorrespondentAuthentication(authentication) => {
                put_octet(octets, extension_type, &[&[2], &authentication.data()]);
            }
            Self::CriticalVendor(vendor) => put_word(octets, extension_type, 0, &vendor.data()),
            Self::NormalVendor(vendor) => {
                put_octet(octets, extension_type, &[&[0, 0], &vendor.data()])
            }
            Self::UdpTunnelReply(reply) => put_octet(octets, extension_type, &[&reply.data()]),
            Self::ForeignAgentError(status) => put_octet(octets, extension_type, &[&[0, *status]]),
            Self::GreKey(key) => put_word(octets, extension_type, 0, &key.to_be_bytes()),
            Self::Nai(identity) => put_octet(octets, extension_type, &[identity.as_bytes()]),
            Self::Challenge(challenge) => put_octet(octets, extension_type, &[challenge]),
            Self::RevocationSupport(support) => {
                put_octet(octets, extension_type, &[&support.data()])
            }
            Self::DynamicHomeAgent(agent) => match agent.layout {
                DynamicHomeAgentLayout::Long => {
                    put_word(
                        octets,
                        extension_type,
                        agent.subtype(),
                        &agent.address.octets(),
                    );
                }
                DynamicHomeAgentLayout::Short => {
                    put_octet(
                        octets,
                        extension_type,
                        &[&[agent.subtype()], &agent.address.octets()],
                    );
                }
            },
            Self::UdpTunnelRequest(request) => {
                put_octet(octets, extension_type, &[&request.data()])
            }
            Self::MessageString { subtype, text } => {
                put_octet(octets, extension_type, &[&[*subtype], text])
            }
            Self::MobileNetworkRequest(request) => {
                put_octet(octets, extension_type, &[&request.data()])
            }
            Self::MobileNetworkAcknowledgement(acknowledgement) => {
                put_octet(octets, extension_type, &[&acknowledgement.data()]);
            }
            Self::ServiceSelection(service) => put_octet(octets, extension_type, &[service]),
            Self::KeyAgreement(element) => put_octet(octets, extension_type, &[&element.data()]),
            Self::Opaque(Opaque {
                content: OpaqueContent::Octet(data),
                ..
            }) => {
                put_octet(octets, extension_type, &[data]);
            }
            Self::Opaque(Opaque {
                content: OpaqueContent::Word { subtype, data },
                ..
            }) => {
                put_word(octets, extension_type, *subtype, data);
            }
        }
    }
}

/// Every caller's content fits by its type; `take` keeps length and content in step regardless.
fn put_octet(octets: &mut Vec<u8>, extension_type: ExtensionType, parts: &[&[u8]]) {
    let length =
        u8::try_from(parts.iter().map(|part| part.len()).sum::<usize>()).unwrap_or(u8::MAX);
    octets.extend([extension_type.0, length]);
    octets.extend(parts.iter().copied().flatten().take(usize::from(length)));
}

fn put_word(octets: &mut Vec<u8>, extension_type: ExtensionType, subtype: u8, data: &[u8]) {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    octets.extend([extension_type.0, subtype]);
    octets.extend(length.to_be_bytes());
    octets.extend(data.iter().take(usize::from(length)));
}
