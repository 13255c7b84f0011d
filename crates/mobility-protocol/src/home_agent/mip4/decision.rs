//! What a request may have, as far as the request itself and the configuration tell (RFC 5944,
//! section 3.8; RFC 3024, section 4; RFC 3519, section 4.6).

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::super::config::{Policy, is_unicast};
use super::super::message::Reason;
use super::super::pools::Pools;
use super::admission::has_unprotected_udp_tunnel_request;
use crate::wire::mip4::{DynamicHomeAgentRole, Extension, RegistrationRequest, RequestFlags};

/// IP protocol 4, as the UDP Tunnel Request names what to put into UDP.
const IP_IN_IP: u8 = 4;

/// What any request has to fulfil, whatever it asks for.
pub(super) fn check(home_agent: Ipv4Addr, request: &RegistrationRequest) -> Result<(), Reason> {
    let extensions = &request.extensions;
    let co_located = request
        .flags
        .contains(RequestFlags::DECAPSULATION_BY_MOBILE_NODE);
    // RFC 3519, section 4.6.1: a mobile node puts its offer before its authentication, a foreign
    // agent after it, and D says which of them it was.
    if has_unprotected_udp_tunnel_request(extensions) && co_located
        || extensions.udp_tunnel_request().is_some() && !co_located
    {
        return Err(Reason::PoorlyFormed);
    }
    if extensions.has_critical_vendor() {
        return Err(Reason::NotUnderstood);
    }
    // RFC 4433, section 5.3.1: all zeros and all ones ask for whichever home agent this is.
    let any_home_agent = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST].contains(&request.home_agent);
    let asks_for_another = extensions.protected().iter().any(|extension| {
        matches!(extension, Extension::DynamicHomeAgent(agent)
            if agent.role == DynamicHomeAgentRole::Requested && agent.address != home_agent)
    });
    if asks_for_another || !any_home_agent && request.home_agent != home_agent {
        return Err(Reason::OtherHomeAgent);
    }
    Ok(())
}

/// How long a binding is granted for, apart from whether there is a home address.
pub(super) fn grant(
    policy: &Policy,
    home_agent: Ipv4Addr,
    pools: &Pools,
    request: &RegistrationRequest,
    source: IpAddr,
) -> Result<Duration, Reason> {
    let flags = request.flags;
    // There are no foreign agents here: the care-of address is the mobile node's own.
    if !flags.contains(RequestFlags::DECAPSULATION_BY_MOBILE_NODE) {
        return Err(Reason::Prohibited);
    }
    if flags.contains(RequestFlags::MINIMAL_ENCAPSULATION) || flags.contains(RequestFlags::GRE) {
        return Err(Reason::Encapsulation);
    }
    // The correspondents accept a home address only from here.
    if !flags.contains(RequestFlags::REVERSE_TUNNEL) {
        return Err(Reason::ReverseTunnel);
    }
    let care_of = IpAddr::V4(request.care_of_address);
    let possible = is_unicast(request.care_of_address)
        && request.care_of_address != home_agent
        && !pools.covers(care_of);
    // RFC 3519, section 4.6: another source is a translator's, and nothing is tunnelled through
    // translators here.
    if !possible || source != care_of {
        return Err(Reason::CareOfAddress);
    }
    match request.extensions.udp_tunnel_request() {
        Some(offer) if ![0, IP_IN_IP].contains(&offer.encapsulation) => {
            Err(Reason::UdpEncapsulation)
        }
        Some(offer) if offer.force => Err(Reason::Prohibited),
        Some(_) | None => Ok(policy.lifetime(request.lifetime)),
    }
}
