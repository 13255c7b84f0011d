//! The number registries of Mobile IPv6, as names. Nothing but registries lives here.

use crate::wire::registry::registry;

registry! {
    /// Types of Mobility Header messages (RFC 6275, section 6.1).
    MessageType;
    BINDING_REFRESH_REQUEST = 0, "Binding Refresh Request";
    HOME_TEST_INIT = 1, "Home Test Init";
    CARE_OF_TEST_INIT = 2, "Care-of Test Init";
    HOME_TEST = 3, "Home Test";
    CARE_OF_TEST = 4, "Care-of Test";
    BINDING_UPDATE = 5, "Binding Update";
    BINDING_ACKNOWLEDGEMENT = 6, "Binding Acknowledgement";
    BINDING_ERROR = 7, "Binding Error";
    FAST_BINDING_UPDATE = 8, "Fast Binding Update";
    FAST_BINDING_ACKNOWLEDGEMENT = 9, "Fast Binding Acknowledgement";
    FAST_NEIGHBOR_ADVERTISEMENT = 10, "Fast Neighbor Advertisement";
    EXPERIMENTAL = 11, "Experimental Mobility Header";
    HOME_AGENT_SWITCH = 12, "Home Agent Switch";
    HEARTBEAT = 13, "Heartbeat";
    HANDOVER_INITIATE = 14, "Handover Initiate";
    HANDOVER_ACKNOWLEDGE = 15, "Handover Acknowledge";
    BINDING_REVOCATION = 16, "Binding Revocation";
    LOCALIZED_ROUTING_INITIATION = 17, "Localized Routing Initiation";
    LOCALIZED_ROUTING_ACKNOWLEDGEMENT = 18, "Localized Routing Acknowledgement";
    UPDATE_NOTIFICATION = 19, "Update Notification";
    UPDATE_NOTIFICATION_ACKNOWLEDGEMENT = 20, "Update Notification Acknowledgement";
    FLOW_BINDING = 21, "Flow Binding";
    SUBSCRIPTION_QUERY = 22, "Subscription Query";
    SUBSCRIPTION_RESPONSE = 23, "Subscription Response";
}

registry! {
    /// Types of mobility options (RFC 6275, section 6.2, and the documents that added to it). An
    /// option of a type that is not known is skipped.
    OptionType;
    PAD1 = 0, "Pad1";
    PADN = 1, "PadN";
    BINDING_REFRESH_ADVICE = 2, "Binding Refresh Advice";
    ALTERNATE_CARE_OF_ADDRESS = 3, "Alternate Care-of Address";
    NONCE_INDICES = 4, "Nonce Indices";
    BINDING_AUTHORIZATION_DATA = 5, "Binding Authorization Data";
    MOBILE_NETWORK_PREFIX = 6, "Mobile Network Prefix";
    MOBILE_NODE_IDENTIFIER = 8, "Mobile Node Identifier";
    AUTHENTICATION = 9, "Mobility Message Authentication";
    REPLAY_PROTECTION = 10, "Mobility Message Replay Protection";
    CGA_PARAMETERS_REQUEST = 11, "CGA Parameters Request";
    CGA_PARAMETERS = 12, "CGA Parameters";
    SIGNATURE = 13, "Signature";
    PERMANENT_HOME_KEYGEN_TOKEN = 14, "Permanent Home Keygen Token";
    CARE_OF_TEST_INIT = 15, "Care-of Test Init";
    CARE_OF_TEST = 16, "Care-of Test";
    DNS_UPDATE = 17, "DNS Update";
    EXPERIMENTAL = 18, "Experimental Mobility Option";
    VENDOR = 19, "Vendor Specific";
    SERVICE_SELECTION = 20, "Service Selection";
    HOME_NETWORK_PREFIX = 22, "Home Network Prefix";
    TIMESTAMP = 27, "Timestamp";
    IPV4_HOME_ADDRESS = 29, "IPv4 Home Address";
    IPV4_ADDRESS_ACKNOWLEDGEMENT = 30, "IPv4 Address Acknowledgement";
    NAT_DETECTION = 31, "NAT Detection";
    IPV4_CARE_OF_ADDRESS = 32, "IPv4 Care-of Address";
    BINDING_IDENTIFIER = 35, "Binding Identifier";
    IPV4_HOME_ADDRESS_REQUEST = 36, "IPv4 Home Address Request";
    IPV4_HOME_ADDRESS_REPLY = 37, "IPv4 Home Address Reply";
    FLOW_SUMMARY = 44, "Flow Summary";
    FLOW_IDENTIFICATION = 45, "Flow Identification";
    DELEGATED_MOBILE_NETWORK_PREFIX = 55, "Delegated Mobile Network Prefix";
    ANCHORED_PREFIX = 65, "Anchored Prefix";
    LOCAL_PREFIX = 66, "Local Prefix";
    PREVIOUS_MAAR = 67, "Previous MAAR";
    SERVING_MAAR = 68, "Serving MAAR";
    DLIF_LINK_LOCAL_ADDRESS = 69, "DLIF Link-Local Address";
    DLIF_LINK_LAYER_ADDRESS = 70, "DLIF Link-Layer Address";
}

registry! {
    /// The Status field of a Binding Acknowledgement (RFC 6275, section 6.1.8, and the documents
    /// that added to it): less than 128 is a yes.
    Status;
    ACCEPTED = 0, "Binding Update accepted";
    ACCEPTED_PREFIX_DISCOVERY_NECESSARY = 1, "accepted but prefix discovery necessary";
    GRE_KEY_OPTION_NOT_REQUIRED = 2, "GRE key option not required";
    GRE_TUNNELING_WITHOUT_TLV_HEADER = 3, "GRE tunneling but TLV header not supported";
    MCOA_NOT_COMPLETE = 4, "MCoA not complete";
    MCOA_RETURN_HOME_WITHOUT_NDP = 5, "MCoA return home without NDP";
    PROXY_ACCEPTED_SETTINGS_MISMATCH = 6, "proxy Binding Update accepted, transient binding ignored, settings mismatch";

    UNSPECIFIED = 128, "reason unspecified";
    ADMINISTRATIVELY_PROHIBITED = 129, "administratively prohibited";
    INSUFFICIENT_RESOURCES = 130, "insufficient resources";
    HOME_REGISTRATION_NOT_SUPPORTED = 131, "home registration not supported";
    NOT_HOME_SUBNET = 132, "not home subnet";
    NOT_HOME_AGENT = 133, "not home agent for this mobile node";
    DUPLICATE_ADDRESS_DETECTION_FAILED = 134, "duplicate address detection failed";
    SEQUENCE_OUT_OF_WINDOW = 135, "sequence number out of window";
    EXPIRED_HOME_NONCE_INDEX = 136, "expired home nonce index";
    EXPIRED_CARE_OF_NONCE_INDEX = 137, "expired care-of nonce index";
    EXPIRED_NONCES = 138, "expired nonces";
    REGISTRATION_TYPE_CHANGE_DISALLOWED = 139, "registration type change disallowed";
    MOBILE_ROUTER_NOT_PERMITTED = 140, "mobile router operation not permitted";
    INVALID_PREFIX = 141, "invalid prefix";
    NOT_AUTHORIZED_FOR_PREFIX = 142, "not authorized for prefix";
    FORWARDING_SETUP_FAILED = 143, "forwarding setup failed";
    IDENTIFICATION_MISMATCH = 144, "timestamp mismatch (MIPV6-ID-MISMATCH)";
    MESSAGE_IDENTIFICATION_REQUIRED = 145, "timestamp required (MIPV6-MESG-ID-REQD)";
    AUTHENTICATION_FAILED = 146, "authentication failed (MIPV6-AUTH-FAIL)";
    PERMANENT_HOME_KEYGEN_TOKEN_UNAVAILABLE = 147, "permanent home keygen token unavailable";
    CGA_AND_SIGNATURE_VERIFICATION_FAILED = 148, "CGA and signature verification failed";
    PERMANENT_HOME_KEYGEN_TOKEN_EXISTS = 149, "permanent home keygen token exists";
    NON_NULL_HOME_NONCE_INDEX_EXPECTED = 150, "non-null home nonce index expected";
    SERVICE_AUTHORIZATION_FAILED = 151, "service authorization failed";
    PROXY_REGISTRATION_NOT_ENABLED = 152, "proxy registration not enabled";
    NOT_LMA_FOR_THIS_MOBILE_NODE = 153, "not local mobility anchor for this mobile node";
    MAG_NOT_AUTHORIZED = 154, "mobile access gateway not authorized for proxy registration";
    NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX = 155, "not authorized for home network prefix";
    PROXY_TIMESTAMP_MISMATCH = 156, "timestamp mismatch";
    TIMESTAMP_LOWER_THAN_PREVIOUS = 157, "timestamp lower than previously accepted";
    MISSING_HOME_NETWORK_PREFIX = 158, "missing home network prefix option";
    PREFIX_SET_DOES_NOT_MATCH = 159, "prefix set of binding cache entry and proxy Binding Update do not match";
    MISSING_MOBILE_NODE_IDENTIFIER = 160, "missing mobile node identifier option";
    MISSING_HANDOFF_INDICATOR = 161, "missing handoff indicator option";
    MISSING_ACCESS_TECHNOLOGY_TYPE = 162, "missing access technology type option";
    GRE_KEY_OPTION_REQUIRED = 163, "GRE key option required";
    MCOA_MALFORMED = 164, "MCoA malformed";
    MCOA_NON_MCOA_BINDING_EXISTS = 165, "MCoA non-MCoA binding exists";
    MCOA_PROHIBITED = 166, "MCoA prohibited";
    MCOA_UNKNOWN_CARE_OF_ADDRESS = 167, "MCoA unknown care-of address";
    MCOA_BULK_REGISTRATION_PROHIBITED = 168, "MCoA bulk registration prohibited";
    MCOA_HOME_AND_FOREIGN_PROHIBITED = 169, "MCoA simultaneous home and foreign prohibited";
    NOT_AUTHORIZED_FOR_IPV4_SERVICE = 170, "not authorized for IPv4 mobility service";
    NOT_AUTHORIZED_FOR_IPV4_HOME_ADDRESS = 171, "not authorized for IPv4 home address";
    NOT_AUTHORIZED_FOR_IPV6_SERVICE = 172, "not authorized for IPv6 mobility service";
    MULTIPLE_IPV4_HOME_ADDRESSES_UNSUPPORTED = 173, "multiple IPv4 home address assignment not supported";
    INVALID_CARE_OF_ADDRESS = 174, "invalid care-of address";
    INVALID_MOBILE_NODE_GROUP_IDENTIFIER = 175, "invalid mobile node group identifier";
    REINITIALIZE_SA_WITH_HAC = 176, "reinitialize security association with home agent controller";
    NOT_AUTHORIZED_FOR_DELEGATED_PREFIX = 177, "not authorized for delegated mobile network prefix";
    REQUESTED_DELEGATED_PREFIX_IN_USE = 178, "requested delegated mobile network prefix in use";
    CANNOT_MEET_QOS_REQUEST = 179, "cannot meet QoS service request";
    CANNOT_SUPPORT_MULTIPATH_BINDING = 180, "cannot support multipath binding";
}

registry! {
    /// The Status field of a Binding Error (RFC 6275, section 6.1.9).
    BindingErrorStatus;
    UNKNOWN_BINDING = 1, "unknown binding for Home Address destination option";
    UNRECOGNIZED_MESSAGE_TYPE = 2, "unrecognized MH Type value";
}

registry! {
    /// Subtypes of the Mobile Node Identifier option (RFC 4283, section 3, and RFC 8371).
    IdentifierSubtype;
    NAI = 1, "NAI";
    IPV6_ADDRESS = 2, "IPv6 address";
    IMSI = 3, "IMSI";
    P_TMSI = 4, "P-TMSI";
    EUI_48 = 5, "EUI-48 address";
    EUI_64 = 6, "EUI-64 address";
    GUTI = 7, "GUTI";
    DUID = 8, "DUID";
}

registry! {
    /// Subtypes of the Mobility Message Authentication option (RFC 4285, section 5).
    AuthenticationSubtype;
    MN_HA = 1, "MN-HA";
    MN_AAA = 2, "MN-AAA";
}

registry! {
    /// The Status field of an IPv4 Address Acknowledgement option (RFC 5555, section 3.2.1): less
    /// than 128 is a yes.
    Ipv4AddressStatus;
    SUCCESS = 0, "success";
    UNSPECIFIED = 128, "failure, reason unspecified";
    ADMINISTRATIVELY_PROHIBITED = 129, "administratively prohibited";
    INCORRECT_IPV4_HOME_ADDRESS = 130, "incorrect IPv4 home address";
    INVALID_IPV4_ADDRESS = 131, "invalid IPv4 address";
    DYNAMIC_ASSIGNMENT_UNAVAILABLE = 132, "dynamic IPv4 home address assignment not available";
    PREFIX_ALLOCATION_UNAUTHORIZED = 133, "prefix allocation unauthorized";
}
