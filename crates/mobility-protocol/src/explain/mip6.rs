//! A Mobility Header message as a JSON object.

use serde_json::{Map, Value};

use super::{options, put, refusal};
use crate::Lifetime;
use crate::wire::mip6::{
    AcknowledgementFlags, BindingAcknowledgement, BindingError, BindingUpdate, DecodeError,
    Message, MessageType, PseudoHeader, Test, TestInit, UpdateFlags, Walk, lifetime_from_wire,
    lifetime_to_wire,
};

/// A JSON object that names everything in this Mobility Header, as [`explain`](super::explain) does
/// for Mobile IPv4, with `options` in place of `extensions`.
///
/// Where the addresses of the packet are known, `checksum_valid` says whether the checksum is theirs
/// and the octets'; a wrong one is an `error`, but the message is explained all the same. An
/// authenticator has `covers_addresses` beside `covers`: it is computed over these two addresses,
/// then over so many octets of the message, the checksum among them taken as zero.
#[must_use]
pub fn explain_mobility_header(message: &[u8], pseudo_header: Option<&PseudoHeader>) -> Value {
    let mut object = Map::new();
    if let Err(error) = describe(&mut object, message, pseudo_header) {
        let refusal = refusal(&error, error.drop_reason(), error.offset());
        object.insert("error".to_owned(), refusal);
    }
    Value::Object(object)
}

fn describe(
    object: &mut Map<String, Value>,
    message: &[u8],
    pseudo_header: Option<&PseudoHeader>,
) -> Result<(), DecodeError> {
    if let [payload_proto, header_len, kind, _, high, low, ..] = *message {
        put(object, "type", kind);
        put(object, "name", MessageType(kind).name());
        put(object, "payload_proto", payload_proto);
        put(object, "header_len", header_len);
        put(object, "checksum", hex::encode([high, low]));
    }
    let whole = Message::decode_fixed(message);
    let verified = match (&whole, pseudo_header) {
        (
            Ok(_) | Err(DecodeError::UnknownMessageType(_) | DecodeError::TruncatedMessage { .. }),
            Some(pseudo_header),
        ) => {
            let verified = pseudo_header.verify(message);
            put(object, "checksum_valid", verified.is_ok());
            verified
        }
        _ => Ok(()),
    };
    let explained = whole.and_then(|(fixed, offset)| {
        fields(object, &fixed);
        let mut list = Vec::new();
        let outcome = Walk::new(message, offset).try_for_each(|item| {
            let (frame, option) = item?;
            list.push(options::describe(&frame, &option));
            Ok(())
        });
        put(object, "options", list);
        outcome
    });
    verified.and(explained)
}

fn fields(object: &mut Map<String, Value>, message: &Message) {
    match message {
        Message::BindingRefreshRequest(_) => {}
        Message::HomeTestInit(init) => test_init(object, "home", init),
        Message::CareOfTestInit(init) => test_init(object, "care_of", init),
        Message::HomeTest(message) => test(object, "home", message),
        Message::CareOfTest(message) => test(object, "care_of", message),
        Message::BindingUpdate(message) => update(object, message),
        Message::BindingAcknowledgement(message) => acknowledgement(object, message),
        Message::BindingError(message) => binding_error(object, message),
    }
}

fn update(object: &mut Map<String, Value>, message: &BindingUpdate) {
    put(object, "sequence", message.sequence.0);
    for (name, flag) in [
        ("a", UpdateFlags::ACKNOWLEDGE),
        ("h", UpdateFlags::HOME_REGISTRATION),
        ("l", UpdateFlags::LINK_LOCAL_COMPATIBILITY),
        ("k", UpdateFlags::KEY_MANAGEMENT_MOBILITY),
        ("m", UpdateFlags::MAP_REGISTRATION),
        ("r", UpdateFlags::MOBILE_ROUTER),
        ("p", UpdateFlags::PROXY_REGISTRATION),
        ("f", UpdateFlags::FORCE_UDP),
        ("t", UpdateFlags::TLV_HEADER),
        ("b", UpdateFlags::BULK),
        ("s", UpdateFlags::SUBSCRIPTION),
        ("d", UpdateFlags::DISTRIBUTED_ANCHORING),
    ] {
        put(object, name, message.flags.contains(flag));
    }
    lifetime(object, "lifetime", message.lifetime);
}

fn acknowledgement(object: &mut Map<String, Value>, message: &BindingAcknowledgement) {
    put(object, "status", message.status.0);
    put(object, "status_name", message.status.name());
    for (name, flag) in [
        ("k", AcknowledgementFlags::KEY_MANAGEMENT_MOBILITY),
        ("r", AcknowledgementFlags::MOBILE_ROUTER),
        ("p", AcknowledgementFlags::PROXY_REGISTRATION),
        ("t", AcknowledgementFlags::TLV_HEADER),
        ("b", AcknowledgementFlags::BULK),
        ("s", AcknowledgementFlags::SUBSCRIPTION),
        ("d", AcknowledgementFlags::DISTRIBUTED_ANCHORING),
    ] {
        put(object, name, message.flags.contains(flag));
    }
    put(object, "sequence", message.sequence.0);
    lifetime(object, "lifetime", message.lifetime);
}

fn binding_error(object: &mut Map<String, Value>, message: &BindingError) {
    put(object, "status", message.status.0);
    put(object, "status_name", message.status.name());
    put(object, "home_address", message.home_address.to_string());
}

fn test_init(object: &mut Map<String, Value>, which: &str, init: &TestInit) {
    let cookie = format!("{:016x}", init.cookie);
    put(object, &format!("{which}_init_cookie"), cookie);
}

fn test(object: &mut Map<String, Value>, which: &str, test: &Test) {
    put(object, &format!("{which}_nonce_index"), test.nonce_index);
    let cookie = format!("{:016x}", test.cookie);
    put(object, &format!("{which}_init_cookie"), cookie);
    let token = format!("{:016x}", test.token);
    put(object, &format!("{which}_keygen_token"), token);
}

/// The field itself, which counts four seconds each, and the seconds it means.
pub(super) fn lifetime(object: &mut Map<String, Value>, name: &str, lifetime: Lifetime) {
    let units = lifetime_to_wire(lifetime);
    put(object, name, units);
    let seconds = match lifetime_from_wire(units) {
        Lifetime::Finite(duration) => duration.as_secs(),
        Lifetime::Zero | Lifetime::Infinite => 0,
    };
    put(object, &format!("{name}_seconds"), seconds);
}
