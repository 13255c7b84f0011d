//! One extension as a JSON object.

use serde_json::{Map, Value};

use super::put;
use crate::wire::mip4::{
    Authentication, AuthenticationKind, DynamicHomeAgentRole, Extension, Frame,
    MobileCorrespondentAuthentication, MobileNetworkAcknowledgement, Opaque, OpaqueContent,
    UdpTunnelReply, UdpTunnelRequest, VendorExtension,
};

pub(super) fn describe(frame: &Frame<'_>, extension: &Extension) -> Value {
    let mut object = Map::new();
    put(&mut object, "type", frame.extension_type.0);
    put(&mut object, "name", frame.extension_type.name());
    put(&mut object, "offset", frame.offset);
    put(&mut object, "length", frame.data.len());
    content(&mut object, extension);
    Value::Object(object)
}

fn content(object: &mut Map<String, Value>, extension: &Extension) {
    match extension {
        Extension::Padding(octets) => put(object, "octets", *octets),
        Extension::Authentication(value) => authentication(object, value),
        Extension::MobileCorrespondentAuthentication(value) => mobile_correspondent(object, value),
        Extension::CriticalVendor(value) => vendor(object, value),
        Extension::NormalVendor(value) => vendor(object, value),
        Extension::UdpTunnelReply(value) => udp_tunnel_reply(object, *value),
        Extension::ForeignAgentError(status) => {
            put(object, "sub_type", 0);
            put(object, "status", *status);
        }
        Extension::GreKey(key) => {
            put(object, "sub_type", 0);
            put(object, "key_identifier", *key);
        }
        Extension::Nai(identity) => put(object, "nai", identity.to_string()),
        Extension::Challenge(challenge) => put(object, "challenge", hex::encode(&**challenge)),
        Extension::RevocationSupport(support) => {
            put(object, "i", support.inform);
            put(object, "timestamp", support.timestamp);
        }
        Extension::DynamicHomeAgent(agent) => {
            let sub_type = match agent.role {
                DynamicHomeAgentRole::Requested => 1,
                DynamicHomeAgentRole::Redirected => 2,
            };
            put(object, "sub_type", sub_type);
            put(object, "home_agent", agent.address.to_string());
        }
        Extension::UdpTunnelRequest(value) => udp_tunnel_request(object, *value),
        Extension::MessageString { subtype, text } => {
            put(object, "sub_type", *subtype);
            put(object, "text", text.escape_ascii().to_string());
        }
        Extension::MobileNetworkRequest(request) => {
            put(object, "sub_type", 0);
            put(object, "prefix_length", request.prefix_length);
            put(object, "prefix", request.prefix.to_string());
        }
        Extension::MobileNetworkAcknowledgement(value) => mobile_network(object, *value),
        Extension::ServiceSelection(service) => {
            put(object, "identifier", service.escape_ascii().to_string())
        }
        Extension::KeyAgreement(element) => {
            put(object, element.name(), hex::encode(element.value()));
        }
        Extension::Opaque(value) => opaque(object, value),
    }
}

fn authentication(object: &mut Map<String, Value>, value: &Authentication) {
    if let AuthenticationKind::Generalized(subtype) = value.kind {
        put(object, "subtype", subtype.0);
        put(object, "subtype_name", subtype.name());
    }
    put(object, "spi", value.spi);
    put(object, "authenticator", hex::encode(&*value.authenticator));
    put(object, "covers", value.covered);
}

fn mobile_correspondent(
    object: &mut Map<String, Value>,
    value: &MobileCorrespondentAuthentication,
) {
    put(object, "sub_type", 2);
    put(object, "home_nonce_index", value.home_nonce_index);
    put(object, "care_of_nonce_index", value.care_of_nonce_index);
    put(object, "authenticator", hex::encode(&*value.authenticator));
    put(object, "covers", value.covered);
}

fn vendor<const MAX: usize>(object: &mut Map<String, Value>, value: &VendorExtension<MAX>) {
    put(object, "vendor_org_id", value.vendor);
    put(object, "vendor_type", value.vendor_type);
    put(object, "hex", hex::encode(&*value.value));
}

fn udp_tunnel_request(object: &mut Map<String, Value>, value: UdpTunnelRequest) {
    put(object, "sub_type", 0);
    put(object, "f", value.force);
    put(object, "r", value.registration_through_foreign_agent);
    put(object, "encapsulation", value.encapsulation);
}

fn udp_tunnel_reply(object: &mut Map<String, Value>, value: UdpTunnelReply) {
    put(object, "sub_type", 0);
    put(object, "reply_code", value.code.0);
    put(object, "reply_code_name", value.code.name());
    put(object, "f", value.forced);
    put(object, "keepalive_interval", value.keepalive_interval);
}

fn mobile_network(object: &mut Map<String, Value>, value: MobileNetworkAcknowledgement) {
    put(object, "sub_type", if value.explicit { 1 } else { 2 });
    put(object, "code", value.code.0);
    put(object, "code_name", value.code.name());
    put(object, "prefix_length", value.prefix_length);
    put(object, "prefix", value.prefix.to_string());
}

fn opaque(object: &mut Map<String, Value>, value: &Opaque) {
    match &value.content {
        OpaqueContent::Octet(data) => put(object, "hex", hex::encode(&**data)),
        OpaqueContent::Word { subtype, data } => {
            put(object, "sub_type", *subtype);
            put(object, "hex", hex::encode(&**data));
        }
    }
}
