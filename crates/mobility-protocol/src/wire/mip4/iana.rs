//! The number registries of Mobile IPv4, as names. Nothing but registries lives here.

use crate::wire::registry::registry;

registry! {
    /// Message types on UDP port 434.
    MessageType;
    REGISTRATION_REQUEST = 1, "Registration Request";
    REGISTRATION_REPLY = 3, "Registration Reply";
    TUNNEL_DATA = 4, "MIP Tunnel Data";
    REVOCATION = 7, "Registration Revocation";
    REVOCATION_ACKNOWLEDGEMENT = 15, "Registration Revocation Acknowledgement";
    HANDOFF_REQUEST = 16, "Handoff Request";
    HANDOFF_REPLY = 17, "Handoff Reply";
    REGIONAL_REGISTRATION_REQUEST = 18, "Regional Registration Request";
    REGIONAL_REGISTRATION_REPLY = 19, "Regional Registration Reply";
    FAST_BINDING_UPDATE = 20, "Fast Binding Update";
    FAST_BINDING_ACKNOWLEDGEMENT = 21, "Fast Binding Acknowledgement";
    GENERIC_NOTIFICATION = 22, "Generic Notification";
    GENERIC_NOTIFICATION_ACKNOWLEDGEMENT = 23, "Generic Notification Acknowledgement";
    HOME_TEST_INIT = 24, "Home Test Init";
    CARE_OF_TEST_INIT = 25, "Care-of Test Init";
    HOME_TEST = 26, "Home Test";
    CARE_OF_TEST = 27, "Care-of Test";
    EXPERIMENTAL = 255, "Experimental";
}

registry! {
    /// The Code field of a Registration Reply (RFC 5944, section 3.4, and the documents that added
    /// to it). Constants with the prefix `FA` are a foreign agent's, the others without a prefix a
    /// home agent's.
    ReplyCode;
    ACCEPTED = 0, "registration accepted";
    ACCEPTED_WITHOUT_SIMULTANEOUS_BINDINGS = 1, "registration accepted, but simultaneous mobility bindings unsupported";
    CONCURRENT_REGISTRATION = 2, "concurrent registration (pre-accept)";

    FA_UNSPECIFIED = 64, "foreign agent: reason unspecified";
    FA_ADMINISTRATIVELY_PROHIBITED = 65, "foreign agent: administratively prohibited";
    FA_INSUFFICIENT_RESOURCES = 66, "foreign agent: insufficient resources";
    FA_MOBILE_NODE_FAILED_AUTHENTICATION = 67, "foreign agent: mobile node failed authentication";
    FA_HOME_AGENT_FAILED_AUTHENTICATION = 68, "foreign agent: home agent failed authentication";
    FA_LIFETIME_TOO_LONG = 69, "foreign agent: requested Lifetime too long";
    FA_POORLY_FORMED_REQUEST = 70, "foreign agent: poorly formed Request";
    FA_POORLY_FORMED_REPLY = 71, "foreign agent: poorly formed Reply";
    FA_ENCAPSULATION_UNAVAILABLE = 72, "foreign agent: requested encapsulation unavailable";
    FA_RESERVED_73 = 73, "reserved and unavailable";
    FA_REVERSE_TUNNEL_UNAVAILABLE = 74, "foreign agent: requested reverse tunnel unavailable";
    FA_REVERSE_TUNNEL_MANDATORY = 75, "foreign agent: reverse tunnel is mandatory and 'T' bit not set";
    FA_MOBILE_NODE_TOO_DISTANT = 76, "foreign agent: mobile node too distant";
    FA_INVALID_CARE_OF_ADDRESS = 77, "foreign agent: invalid care-of address";
    FA_REGISTRATION_TIMEOUT = 78, "foreign agent: registration timeout";
    FA_DELIVERY_STYLE_UNSUPPORTED = 79, "foreign agent: delivery style not supported";
    FA_HOME_NETWORK_UNREACHABLE = 80, "foreign agent: home network unreachable";
    FA_HOME_AGENT_HOST_UNREACHABLE = 81, "foreign agent: home agent host unreachable";
    FA_HOME_AGENT_PORT_UNREACHABLE = 82, "foreign agent: home agent port unreachable";
    FA_HOME_AGENT_UNREACHABLE = 88, "foreign agent: home agent unreachable";
    FA_VENDOR_SPECIFIC = 89, "foreign agent: vendor-specific reason";
    FA_NONZERO_HOME_AGENT_REQUIRED = 90, "foreign agent: non-zero home agent address required";
    FA_NONZERO_HOME_ADDRESS_REQUIRED = 96, "foreign agent: non-zero home address required";
    FA_MISSING_NAI = 97, "foreign agent: missing NAI";
    FA_MISSING_HOME_AGENT = 98, "foreign agent: missing home agent";
    FA_MISSING_HOME_ADDRESS = 99, "foreign agent: missing home address";
    FA_VENDOR_EXTENSION_FROM_MOBILE_NODE = 100, "foreign agent: unable to interpret CVSE from the mobile node";
    FA_VENDOR_EXTENSION_FROM_HOME_AGENT = 101, "foreign agent: unable to interpret CVSE from the home agent";
    FA_UNKNOWN_CHALLENGE = 104, "foreign agent: unknown challenge";
    FA_MISSING_CHALLENGE = 105, "foreign agent: missing challenge";
    FA_STALE_CHALLENGE = 106, "foreign agent: stale challenge";
    FA_MISSING_KEY_NONCE = 107, "foreign agent: missing MN-FA key generation nonce";
    FA_BAD_AAA_AUTHENTICATION = 108, "foreign agent: bad AAA authentication";
    FA_WRONG_CHALLENGE = 109, "foreign agent: home agent reported a wrong challenge";
    FA_REPLAY_PROTECTION_UNAVAILABLE = 110, "foreign agent: replay protection style unavailable";
    FA_ZERO_CARE_OF_ADDRESS_UNSUPPORTED = 111, "foreign agent: zero care-of address not supported";
    FA_UNKNOWN_GATEWAY = 112, "foreign agent: unknown gateway foreign agent";
    FA_GATEWAY_UNREACHABLE = 113, "foreign agent: gateway foreign agent unreachable";
    FA_GATEWAY_HOST_UNREACHABLE = 114, "foreign agent: gateway foreign agent host unreachable";
    FA_GATEWAY_PORT_UNREACHABLE = 115, "foreign agent: gateway foreign agent port unreachable";
    FA_EXPERIMENTAL = 127, "foreign agent: experimental";

    UNSPECIFIED = 128, "home agent: reason unspecified";
    ADMINISTRATIVELY_PROHIBITED = 129, "home agent: administratively prohibited";
    INSUFFICIENT_RESOURCES = 130, "home agent: insufficient resources";
    MOBILE_NODE_FAILED_AUTHENTICATION = 131, "home agent: mobile node failed authentication";
    FOREIGN_AGENT_FAILED_AUTHENTICATION = 132, "home agent: foreign agent failed authentication";
    IDENTIFICATION_MISMATCH = 133, "home agent: registration Identification mismatch";
    POORLY_FORMED_REQUEST = 134, "home agent: poorly formed Request";
    TOO_MANY_SIMULTANEOUS_BINDINGS = 135, "home agent: too many simultaneous mobility bindings";
    UNKNOWN_HOME_AGENT_ADDRESS = 136, "home agent: unknown home agent address";
    REVERSE_TUNNEL_UNAVAILABLE = 137, "home agent: requested reverse tunnel unavailable";
    REVERSE_TUNNEL_MANDATORY = 138, "home agent: reverse tunnel is mandatory and 'T' bit not set";
    ENCAPSULATION_UNAVAILABLE = 139, "home agent: requested encapsulation unavailable";
    VENDOR_EXTENSION_FROM_MOBILE_NODE = 140, "home agent: unable to interpret CVSE from the mobile node";
    VENDOR_EXTENSION_FROM_FOREIGN_AGENT = 141, "home agent: unable to interpret CVSE from the foreign agent";
    UDP_ENCAPSULATION_UNAVAILABLE = 142, "home agent: requested UDP tunnel encapsulation unavailable";
    REDIRECT_HOME_AGENT = 143, "home agent: redirected to another home agent";
    BAD_AAA_AUTHENTICATION = 144, "home agent: bad AAA authentication";
    ZERO_CARE_OF_ADDRESS = 145, "home agent: zero care-of address";
    DYNAMIC_GATEWAY_UNSUPPORTED = 146, "home agent: dynamic gateway foreign agent not supported";
    MOBILE_NETWORK_ERROR = 147, "home agent: mobile network error";
    MOBILE_NETWORK_DISALLOWED = 148, "home agent: mobile network operation not permitted";
    PROXY_UNSUPPORTED = 149, "home agent: proxy registration not supported";
    PROXY_DISALLOWED = 150, "home agent: proxy registration disallowed";
    SERVICE_AUTHORIZATION_FAILED = 151, "home agent: service authorization failed";
    MULTIPATH_NOT_ALLOWED = 152, "home agent: multipath not allowed";
    INVALID_FLOW_BINDING_IDENTIFIER = 153, "home agent: invalid flow binding identifier";
    EXPERIMENTAL = 192, "home agent: experimental";

    GATEWAY_NO_HOME_REGISTRATION = 193, "gateway foreign agent: no home registration";
    FA_INVALID_HOME_AGENT_ADDRESS = 194, "foreign agent: invalid home agent address";
    EXPIRED_HOME_NONCE_INDEX = 201, "correspondent router: expired home nonce index";
    EXPIRED_CARE_OF_NONCE_INDEX = 202, "correspondent router: expired care-of nonce index";
    EXPIRED_NONCES = 203, "correspondent router: expired nonces";
}

registry! {
    /// Extension types in control messages (RFC 5944, section 1.8, and the documents that added to
    /// it). The extensions of router advertisements are another number space.
    ExtensionType;
    PADDING = 0, "One-byte Padding";
    MOBILE_HOME_AUTHENTICATION = 32, "Mobile-Home Authentication";
    MOBILE_FOREIGN_AUTHENTICATION = 33, "Mobile-Foreign Authentication";
    FOREIGN_HOME_AUTHENTICATION = 34, "Foreign-Home Authentication";
    GENERALIZED_AUTHENTICATION = 36, "Generalized Mobile IP Authentication";
    OLD_CRITICAL_VENDOR = 37, "Critical Vendor/Organization Specific (superseded)";
    CRITICAL_VENDOR = 38, "Critical Vendor/Organization Specific";
    MN_FA_KEY_GENERATION_NONCE_REQUEST = 40, "MN-FA Key Generation Nonce Request";
    MN_FA_KEY_GENERATION_NONCE_REPLY = 41, "MN-FA Key Generation Nonce Reply";
    MN_HA_KEY_GENERATION_NONCE_REQUEST = 42, "MN-HA Key Generation Nonce Request";
    MN_HA_KEY_GENERATION_NONCE_REPLY = 43, "MN-HA Key Generation Nonce Reply";
    UDP_TUNNEL_REPLY = 44, "UDP Tunnel Reply";
    FOREIGN_AGENT_ERROR = 45, "FA Error";
    GATEWAY_ADDRESS = 46, "GFA IP Address";
    PROXY_NON_SKIPPABLE = 47, "Proxy Mobile IPv4 Non-skippable";
    GRE_KEY = 48, "GRE Key";
    ROUTE_OPTIMIZATION = 49, "Route Optimization";
    ROUTE_OPTIMIZATION_DATA = 50, "Route Optimization Data";
    EXPERIMENTAL_NON_SKIPPABLE = 127, "Experimental Non-skippable";
    DEPRECATED_128 = 128, "deprecated (2001)";
    SKIP_FIREWALL_TRAVERSAL = 129, "SKIP Firewall Traversal";
    ENCAPSULATING_DELIVERY_STYLE = 130, "Encapsulating Delivery Style";
    NAI = 131, "Mobile Node NAI";
    CHALLENGE = 132, "MN-FA Challenge";
    OLD_NORMAL_VENDOR = 133, "Normal Vendor/Organization Specific (superseded)";
    NORMAL_VENDOR = 134, "Normal Vendor/Organization Specific";
    NAI_CARRYING = 136, "NAI Carrying";
    REVOCATION_SUPPORT = 137, "Revocation Support";
    LINK_LAYER_ADDRESS = 138, "Generalized Link-Layer and IPv4 Address";
    DYNAMIC_HOME_AGENT = 139, "Dynamic Home Agent";
    HIERARCHICAL_FOREIGN_AGENT = 140, "Hierarchical Foreign Agent";
    REPLAY_PROTECTION_STYLE = 141, "Replay Protection Style";
    REGIONAL_REGISTRATION_LIFETIME = 142, "Regional Registration Lifetime";
    UDP_TUNNEL_REQUEST = 144, "UDP Tunnel Request";
    MESSAGE_STRING = 145, "Message String";
    PROXY_SKIPPABLE = 147, "Proxy Mobile IPv4 Skippable";
    MOBILE_NETWORK = 148, "Mobile Network";
    TRUSTED_NETWORKS = 149, "Trusted Networks Configured";
    SERVICE_SELECTION = 151, "Service Selection";
    DUAL_STACK = 152, "IPv6 Support over Mobile IPv4";
    ROUTE_OPTIMIZATION_CAPABILITY = 153, "Mobile Router Route Optimization Capability";
    FLOW_BINDING = 154, "Multipath and Flow Binding";
    EXPERIMENTAL_SKIPPABLE = 255, "Experimental Skippable";
}

registry! {
    /// Subtypes of the Generalized Mobile IP Authentication extension (RFC 4721, section 5).
    GeneralizedAuthenticationSubtype;
    MN_AAA = 1, "MN-AAA Authentication";
    FA_FA = 2, "FA-FA Authentication";
    MN_GFA = 3, "MN-GFA Authentication";
    MN_PAR = 4, "MN-PAR Authentication";
}

registry! {
    /// The Code field of a UDP Tunnel Reply (RFC 3519, section 3.1.2): up to 63 the home agent will
    /// tunnel, from 64 on it will not.
    UdpTunnelReplyCode;
    WILL_TUNNEL = 0, "Will do tunneling";
    DECLINED = 64, "Tunneling declined, reason unspecified";
}

registry! {
    /// The Code field of a Mobile Network acknowledgement (RFC 5177, section 4.2, and RFC 6626).
    MobileNetworkCode;
    SUCCESS = 0, "Success";
    INVALID_PREFIX_LENGTH = 1, "Invalid prefix length";
    UNAUTHORIZED = 2, "Mobile router is not authorized for prefix";
    FORWARDING_FAILED = 3, "Forwarding setup failed";
    UNASSIGNED = 4, "Mobile network prefix not assigned";
}
