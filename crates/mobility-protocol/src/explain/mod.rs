//! What is in a message, for people and scripts: the answer of `chad decode`.

mod extensions;
mod mip6;
mod options;

pub use mip6::explain_mobility_header;

use std::fmt;

use serde_json::{Map, Value, json};

use crate::wire::mip4::{
    DecodeError, Extension, Frames, Identification, Message, MessageType, RegistrationReply,
    RegistrationRequest, Revocation, RevocationAcknowledgement, Test, TestInit, TunnelData,
    lifetime_to_wire,
};

/// A JSON object that names everything in this message, the payload of a UDP datagram from or to
/// port 434.
///
/// It has `type` and `name`, then the fields under the names their RFC gives them, in snake case and
/// in the order of the wire, then `extensions`: each with `type`, `name`, `offset`, `length` (as on
/// the wire), and its own fields or `hex`. An authenticator has `spi`, `authenticator` and `covers`,
/// the number of octets from the first one it is computed over. What does not fit a JSON number is a
/// string of hexadecimal digits.
///
/// A message that a receiver refuses has, after whatever could be read, an `error` with `reason` (a
/// sentence), `kind` (the name the reason has in counters) and `offset`.
#[must_use]
pub fn explain(payload: &[u8]) -> Value {
    let mut object = Map::new();
    if let Err(error) = describe(&mut object, payload) {
        let refusal = refusal(&error, error.drop_reason(), error.offset());
        object.insert("error".to_owned(), refusal);
    }
    Value::Object(object)
}

fn describe(object: &mut Map<String, Value>, payload: &[u8]) -> Result<(), DecodeError> {
    let message_type = MessageType(*payload.first().ok_or(DecodeError::Empty)?);
    put(object, "type", message_type.0);
    put(object, "name", message_type.name());
    let fixed_length = match message_type {
        MessageType::REGISTRATION_REQUEST => RegistrationRequest::FIXED_LENGTH,
        MessageType::REGISTRATION_REPLY => RegistrationReply::FIXED_LENGTH,
        MessageType::REVOCATION => Revocation::FIXED_LENGTH,
        MessageType::REVOCATION_ACKNOWLEDGEMENT => RevocationAcknowledgement::FIXED_LENGTH,
        _ => {
            fields(object, &Message::decode(payload)?, payload);
            return Ok(());
        }
    };
    // The fixed part is a message of its own: it is explained whatever is wrong further on.
    let fixed = payload.get(..fixed_length).unwrap_or(payload);
    fields(object, &Message::decode(fixed)?, payload);

    let mut list = Vec::new();
    let outcome = Frames::new(payload, fixed_length).try_for_each(|frame| {
        let frame = frame?;
        list.push(extensions::describe(&frame, &Extension::decode(&frame)?));
        Ok(())
    });
    put(object, "extensions", list);
    outcome
}

fn fields(object: &mut Map<String, Value>, message: &Message, payload: &[u8]) {
    match message {
        Message::RegistrationRequest(request) => {
            registration_request(object, request, payload.get(1).copied().unwrap_or_default());
        }
        Message::RegistrationReply(reply) => registration_reply(object, reply),
        Message::TunnelData(data) => tunnel_data(object, data),
        Message::Revocation(message) => revocation(object, message),
        Message::RevocationAcknowledgement(message) => revocation_acknowledgement(object, message),
        Message::HomeTestInit(init) => test_init(object, "home", *init),
        Message::CareOfTestInit(init) => test_init(object, "care_of", *init),
        Message::HomeTest(message) => test(object, "home", *message),
        Message::CareOfTest(message) => test(object, "care_of", *message),
    }
}

fn registration_request(object: &mut Map<String, Value>, request: &RegistrationRequest, flags: u8) {
    let names = ["s", "b", "d", "m", "g", "r", "t", "x"];
    for (bit, name) in names.into_iter().enumerate() {
        put(object, name, flags & (0x80 >> bit) != 0);
    }
    put(object, "lifetime", lifetime_to_wire(request.lifetime));
    put(object, "home_address", request.home_address.to_string());
    put(object, "home_agent", request.home_agent.to_string());
    put(
        object,
        "care_of_address",
        request.care_of_address.to_string(),
    );
    identification(object, request.identification);
}

fn registration_reply(object: &mut Map<String, Value>, reply: &RegistrationReply) {
    put(object, "code", reply.code.0);
    put(object, "code_name", reply.code.name());
    put(object, "lifetime", lifetime_to_wire(reply.lifetime));
    put(object, "home_address", reply.home_address.to_string());
    put(object, "home_agent", reply.home_agent.to_string());
    identification(object, reply.identification);
}

fn revocation(object: &mut Map<String, Value>, revocation: &Revocation) {
    put(object, "a", revocation.by_home_agent);
    put(object, "i", revocation.inform);
    put(object, "home_address", revocation.home_address.to_string());
    put(
        object,
        "home_domain_address",
        revocation.home_domain_address.to_string(),
    );
    put(
        object,
        "foreign_domain_address",
        revocation.foreign_domain_address.to_string(),
    );
    put(object, "revocation_identifier", revocation.identifier);
}

fn revocation_acknowledgement(
    object: &mut Map<String, Value>,
    message: &RevocationAcknowledgement,
) {
    put(object, "i", message.inform);
    put(object, "home_address", message.home_address.to_string());
    put(object, "revocation_identifier", message.identifier);
}

fn tunnel_data(object: &mut Map<String, Value>, data: &TunnelData) {
    put(object, "next_header", data.next_header);
    put(object, "hex", hex::encode(&data.packet));
}

fn test_init(object: &mut Map<String, Value>, which: &str, init: TestInit) {
    put(
        object,
        &format!("{which}_init_cookie"),
        format!("{:016x}", init.cookie),
    );
}

fn test(object: &mut Map<String, Value>, which: &str, test: Test) {
    put(object, &format!("{which}_nonce_index"), test.nonce_index);
    put(
        object,
        &format!("{which}_init_cookie"),
        format!("{:016x}", test.cookie),
    );
    put(
        object,
        &format!("{which}_keygen_token"),
        format!("{:016x}", test.token),
    );
}

/// The field itself, and the Unix time it means as a timestamp, from 1968 to 2104.
fn identification(object: &mut Map<String, Value>, identification: Identification) {
    put(
        object,
        "identification",
        format!("{:016x}", identification.0),
    );
    let time = identification.to_unix(Identification::ERA_CHANGE);
    put(object, "identification_unix_time", time.as_secs());
}

fn refusal(reason: &impl fmt::Display, kind: &str, offset: usize) -> Value {
    json!({ "reason": reason.to_string(), "kind": kind, "offset": offset })
}

fn put(object: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    object.insert(name.to_owned(), value.into());
}

#[cfg(test)]
mod tests;
