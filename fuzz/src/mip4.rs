//! The targets of Mobile IPv4.

use mobility_protocol::explain::explain;
use mobility_protocol::wire::mip4::{DecodeError, Extension, Message};

/// Octets are refused with a reason that lies within them, or they are a message that survives
/// being encoded, whose authenticators cover octets it has.
pub fn mip4_decode(octets: &[u8]) {
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
    let again = message.encode();
    assert_eq!(again.len(), octets.len(), "{message:?}");
    assert_eq!(Message::decode(&again).as_ref(), Ok(&message));
    for extension in message.extensions() {
        let (covered, authenticator) = if let Extension::Authentication(found) = extension {
            (found.covered, &*found.authenticator)
        } else if let Extension::MobileCorrespondentAuthentication(found) = extension {
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
/// extensions as the message.
pub fn mip4_explain(octets: &[u8]) {
    let explanation = explain(octets);
    let error = explanation.get("error");
    match Message::decode(octets) {
        Ok(message) => {
            assert_eq!(error, None);
            let extensions = explanation
                .get("extensions")
                .and_then(|list| list.as_array());
            assert_eq!(extensions.map_or(0, Vec::len), message.extensions().len());
        }
        Err(refused) => {
            let field = |name| error.and_then(|error| error.get(name)).cloned();
            assert_eq!(field("reason"), Some(refused.to_string().into()));
            assert_eq!(field("offset"), Some(refused.offset().into()));
        }
    }
}
