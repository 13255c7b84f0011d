//! The targets of Mobile IPv6.

use std::net::Ipv6Addr;

use mobility_protocol::explain::explain_mobility_header;
use mobility_protocol::wire::mip6::{
    DecodeError, Message, MobilityOption, Packet, PacketError, PseudoHeader,
};

const PSEUDO_HEADER: PseudoHeader = PseudoHeader {
    source: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
    destination: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2),
};

/// Octets are refused with a reason that lies within them, or they are a message that survives
/// being encoded, whose authenticators cover octets it has.
pub fn mip6_decode(octets: &[u8]) {
    let message = match Message::decode(octets) {
        Ok(message) => message,
        Err(error) => {
            assert!(error.offset() <= octets.len(), "{error}");
            assert!(
                DecodeError::DROP_REASONS.contains(&error.drop_reason()),
                "{error}"
            );
            return;
        }
    };
    let again = message.encode(&PSEUDO_HEADER);
    assert_eq!(again.len(), octets.len(), "{message:?}");
    assert_eq!(Message::decode(&again).as_ref(), Ok(&message));
    assert_eq!(PSEUDO_HEADER.verify(&again), Ok(()));
    for option in message.options() {
        let (covered, authenticator) = if let MobilityOption::Authentication(found) = option {
            (found.covered, &*found.authenticator)
        } else if let MobilityOption::BindingAuthorization(found) = option {
            (found.covered, &*found.authenticator)
        } else {
            continue;
        };
        assert_eq!(
            octets.get(covered..covered + authenticator.len()),
            Some(authenticator)
        );
    }
}

/// The explanation has an error exactly when the message is refused, the same one, and as many
/// options as the message.
pub fn mip6_explain(octets: &[u8]) {
    agree(octets, None, Message::decode(octets));
}

/// Octets are refused with a reason that lies within them, or they are a packet that survives being
/// encoded; its message is refused for the reason its explanation gives.
pub fn mip6_packet(octets: &[u8]) {
    let packet = match Packet::decode(octets) {
        Ok(packet) => packet,
        Err(error) => {
            assert!(error.offset() <= octets.len(), "{error}");
            assert!(
                PacketError::DROP_REASONS.contains(&error.drop_reason()),
                "{error}"
            );
            return;
        }
    };
    let again = packet.encode();
    assert!(again.len() <= octets.len(), "{packet:?}");
    assert_eq!(Packet::decode(&again), Ok(packet));
    agree(
        packet.message,
        Some(&packet.pseudo_header()),
        packet.message(),
    );
}

fn agree(
    octets: &[u8],
    pseudo_header: Option<&PseudoHeader>,
    decoded: Result<Message, DecodeError>,
) {
    let explanation = explain_mobility_header(octets, pseudo_header);
    let error = explanation.get("error");
    match decoded {
        Ok(message) => {
            assert_eq!(error, None);
            let options = explanation.get("options").and_then(|list| list.as_array());
            assert_eq!(options.map(Vec::len), Some(message.options().len()));
        }
        Err(refused) => {
            let field = |name| error.and_then(|error| error.get(name)).cloned();
            assert_eq!(field("reason"), Some(refused.to_string().into()));
            assert_eq!(field("offset"), Some(refused.offset().into()));
        }
    }
}
