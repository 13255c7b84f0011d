//! From a datagram to a request by somebody known: everything before an answer is due.
//!
//! Anybody may send a datagram. Nothing here keeps state for the sender, and nothing is answered
//! that was not authenticated (RFC 5944, section 3.8.2.1).

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::super::acquaintance::{Acquaintance, Challenge, Claim, Directory};
use super::super::config::is_unicast;
use super::super::counters::DropReason;
use crate::security::SecurityAssociation;
use crate::wire::mip4::{
    Authentication, AuthenticationKind, DecodeError, Extension, Extensions, Frames, Message,
    RegistrationRequest,
};
use crate::{Datagram, Identity, Transport};

/// A request with a valid authenticator.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) request: RegistrationRequest,
    pub(super) identity: Identity,
    pub(super) association: Arc<SecurityAssociation>,
    /// It is to be told that it is malformed, whatever it asks for.
    pub(super) malformed: bool,
}

/// What is to be done with a request.
#[derive(Debug)]
pub(super) enum Admission {
    /// It is considered.
    Admitted(Admitted),
    /// A stranger's: it is to come again.
    Challenged(RegistrationRequest, Challenge),
}

pub(super) fn admit(
    directory: Directory<'_>,
    home_agent: Ipv4Addr,
    datagram: &Datagram<'_>,
) -> Result<Admission, DropReason> {
    match (datagram.source, datagram.transport) {
        (IpAddr::V4(source), Transport::Udp { port: 1.. }) if is_unicast(source) => {}
        (IpAddr::V4(_) | IpAddr::V6(_), Transport::Udp { .. } | Transport::MobilityHeader) => {
            return Err(DropReason::InvalidSource);
        }
    }
    let (request, malformed) = match Message::decode(datagram.payload) {
        Ok(Message::RegistrationRequest(request)) => (request, false),
        Ok(_) => return Err(DropReason::UnexpectedMessage),
        Err(error) => (salvage(datagram.payload, error)?, true),
    };
    let extensions = &request.extensions;
    if extensions.not_understood().is_some() || extensions.iter().any(is_for_somebody_else) {
        return Err(DropReason::UnsupportedExtension);
    }
    if extensions.iter().any(is_foreign_agents) {
        return Err(DropReason::UnknownForeignAgent);
    }
    let authentication = extensions
        .mobile_home_authentication()
        .ok_or(DropReason::MissingAuthentication)?;
    let identity = extensions.nai().ok_or(DropReason::MissingIdentity)?;
    let claim = Claim {
        source: datagram.source,
        home_agent: home_agent.into(),
        identity,
        spi: authentication.spi,
        key_share: extensions.key_share(),
        cookie: extensions.cookie(),
        token: extensions.resumption_token(),
    };
    let association = match directory.find(&claim)? {
        Acquaintance::Known(association) => {
            if !authentication.is_valid(&association, datagram.payload) {
                return Err(DropReason::AuthenticationFailed);
            }
            association
        }
        Acquaintance::Newcomer(association, challenge) => {
            if !authentication.is_valid(&association, datagram.payload) {
                return Ok(Admission::Challenged(request, challenge));
            }
            Arc::new(association)
        }
        Acquaintance::Stranger(challenge) => return Ok(Admission::Challenged(request, challenge)),
    };
    Ok(Admission::Admitted(Admitted {
        identity: identity.clone(),
        association,
        request,
        malformed,
    }))
}

/// What of a malformed request is needed to say so to its sender, if it can be authenticated.
fn salvage(payload: &[u8], error: DecodeError) -> Result<RegistrationRequest, DropReason> {
    let undecodable = DropReason::Undecodable(error.drop_reason());
    if error.reply_code().is_none() {
        return Err(undecodable);
    }
    let fixed = payload
        .get(..RegistrationRequest::FIXED_LENGTH)
        .ok_or(undecodable)?;
    let Ok(Message::RegistrationRequest(mut request)) = Message::decode(fixed) else {
        return Err(undecodable);
    };
    request.extensions = Frames::new(payload, RegistrationRequest::FIXED_LENGTH)
        .map_while(Result::ok)
        .filter_map(|frame| Extension::decode(&frame).ok())
        .collect();
    match request.extensions.mobile_home_authentication() {
        Some(_) => Ok(request),
        None => Err(undecodable),
    }
}

/// A correspondent router authenticates requests of its own kind (RFC 6521, section 4.6).
fn is_for_somebody_else(extension: &Extension) -> bool {
    matches!(extension, Extension::MobileCorrespondentAuthentication(_))
}

fn is_foreign_agents(extension: &Extension) -> bool {
    matches!(
        extension,
        Extension::Authentication(Authentication {
            kind: AuthenticationKind::ForeignHome,
            ..
        })
    )
}

/// Whether an offer to tunnel in UDP stands where nothing protects it (RFC 3519, section 4.6.1).
pub(super) fn has_unprotected_udp_tunnel_request(extensions: &Extensions) -> bool {
    extensions
        .unprotected()
        .iter()
        .any(|extension| matches!(extension, Extension::UdpTunnelRequest(_)))
}
