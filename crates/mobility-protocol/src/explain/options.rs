//! One mobility option as a JSON object.

use serde_json::{Map, Value, json};

use super::mip6::lifetime;
use super::put;
use crate::wire::mip6::{
    Authentication, BindingIdentifier, DnsUpdate, Frame, Identification,
    Ipv4AddressAcknowledgement, Ipv4HomeAddress, MobileNodeIdentifier, MobilityOption,
    NetworkPrefix, VendorOption,
};

pub(super) fn describe(frame: &Frame<'_>, option: &MobilityOption) -> Value {
    let mut object = Map::new();
    put(&mut object, "type", frame.option_type.0);
    put(&mut object, "name", frame.option_type.name());
    put(&mut object, "offset", frame.offset);
    put(&mut object, "length", frame.data.len());
    content(&mut object, option);
    Value::Object(object)
}

fn content(object: &mut Map<String, Value>, option: &MobilityOption) {
    match option {
        MobilityOption::Padding(octets) => put(object, "octets", *octets),
        MobilityOption::BindingRefreshAdvice(value) => lifetime(object, "refresh_interval", *value),
        MobilityOption::AlternateCareOfAddress(address) => {
            put(object, "alternate_care_of_address", address.to_string());
        }
        MobilityOption::NonceIndices(indices) => {
            put(object, "home_nonce_index", indices.home);
            put(object, "care_of_nonce_index", indices.care_of);
        }
        MobilityOption::BindingAuthorization(value) => {
            put(object, "authenticator", hex::encode(&*value.authenticator));
            put(object, "covers", value.covered);
            let addresses = json!(["care_of_address", "correspondent"]);
            put(object, "covers_addresses", addresses);
        }
        MobilityOption::MobileNetworkPrefix(prefix) => network_prefix(object, *prefix),
        MobilityOption::MobileNodeIdentifier(value) => identifier(object, value),
        MobilityOption::Authentication(value) => authentication(object, value),
        MobilityOption::ReplayProtection(value) => timestamp(object, *value),
        MobilityOption::CgaParametersRequest | MobilityOption::CareOfTestInit => {}
        MobilityOption::CgaParameters(data)
        | MobilityOption::Signature(data)
        | MobilityOption::PermanentHomeKeygenToken(data)
        | MobilityOption::Experimental(data) => put(object, "hex", hex::encode(&**data)),
        MobilityOption::KeyAgreement(element) => {
            put(object, element.name(), hex::encode(element.value()));
        }
        MobilityOption::CareOfTest(token) => {
            put(object, "care_of_keygen_token", format!("{token:016x}"));
        }
        MobilityOption::DnsUpdate(value) => dns_update(object, value),
        MobilityOption::Vendor(value) => vendor(object, value),
        MobilityOption::ServiceSelection(service) => {
            put(object, "identifier", service.escape_ascii().to_string());
        }
        MobilityOption::HomeNetworkPrefix(prefix) => {
            network_prefix(object, *prefix);
            if let Some(address) = prefix.address() {
                put(object, "home_address", address.to_string());
            }
        }
        MobilityOption::Ipv4HomeAddress(value) => ipv4_home_address(object, *value),
        MobilityOption::Ipv4AddressAcknowledgement(value) => {
            ipv4_address_acknowledgement(object, *value);
        }
        MobilityOption::NatDetection(detection) => {
            put(object, "f", detection.forced);
            put(object, "refresh_time", detection.refresh_time);
        }
        MobilityOption::Ipv4CareOfAddress(address) => {
            put(object, "ipv4_care_of_address", address.to_string());
        }
        MobilityOption::BindingIdentifier(value) => binding_identifier(object, *value),
        MobilityOption::Opaque(opaque) => put(object, "hex", hex::encode(&*opaque.data)),
    }
}

fn authentication(object: &mut Map<String, Value>, value: &Authentication) {
    put(object, "subtype", value.subtype.0);
    put(object, "subtype_name", value.subtype.name());
    put(object, "spi", value.spi);
    put(object, "authenticator", hex::encode(&*value.authenticator));
    put(object, "covers", value.covered);
    let addresses = json!(["care_of_address", "home_address"]);
    put(object, "covers_addresses", addresses);
}

fn identifier(object: &mut Map<String, Value>, value: &MobileNodeIdentifier) {
    put(object, "subtype", value.subtype.0);
    put(object, "subtype_name", value.subtype.name());
    match value.identity() {
        Some(identity) => put(object, "nai", identity.to_string()),
        None => put(object, "hex", hex::encode(&*value.identifier)),
    }
}

/// The field itself, and the Unix time it means, from 1968 to 2104.
fn timestamp(object: &mut Map<String, Value>, value: Identification) {
    put(object, "timestamp", format!("{:016x}", value.0));
    let time = value.to_unix(Identification::ERA_CHANGE);
    put(object, "timestamp_unix_time", time.as_secs());
}

fn network_prefix(object: &mut Map<String, Value>, value: NetworkPrefix) {
    put(object, "prefix_length", value.length);
    put(object, "prefix", value.prefix.to_string());
}

fn dns_update(object: &mut Map<String, Value>, value: &DnsUpdate) {
    put(object, "status", value.status);
    put(object, "r", value.remove);
    put(object, "hex", hex::encode(&*value.name));
}

fn vendor(object: &mut Map<String, Value>, value: &VendorOption) {
    put(object, "vendor_id", value.vendor);
    put(object, "sub_type", value.subtype);
    put(object, "hex", hex::encode(&*value.value));
}

fn ipv4_home_address(object: &mut Map<String, Value>, value: Ipv4HomeAddress) {
    put(object, "prefix_length", value.prefix_length);
    put(object, "p", value.request_prefix);
    put(object, "ipv4_home_address", value.address.to_string());
}

fn ipv4_address_acknowledgement(
    object: &mut Map<String, Value>,
    value: Ipv4AddressAcknowledgement,
) {
    put(object, "status", value.status.0);
    put(object, "status_name", value.status.name());
    put(object, "prefix_length", value.prefix_length);
    put(object, "ipv4_home_address", value.address.to_string());
}

fn binding_identifier(object: &mut Map<String, Value>, value: BindingIdentifier) {
    put(object, "binding_id", value.identifier);
    put(object, "status", value.status.0);
    put(object, "status_name", value.status.name());
    put(object, "h", value.simultaneous_home);
    if let Some(address) = value.care_of_address {
        put(object, "care_of_address", address.to_string());
    }
}
