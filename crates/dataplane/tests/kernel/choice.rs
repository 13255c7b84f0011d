//! Which backend is taken.

use std::net::{Ipv4Addr, Ipv6Addr};

use dataplane::home_agent::{self, HomeAgentDataplane};
use dataplane::mobile_node::{self, MobileNodeDataplane};
use dataplane::{Addresses, BackendChoice, Carrier};

use crate::namespace::{self, snapshot};
use crate::site::has_tunnels;

#[test]
fn a_kernel_without_tunnels_is_refused_by_what_it_misses() {
    namespace::run("kernel backend", || async {
        // The first question loads the module, which brings a device of its own.
        has_tunnels();
        let config = |backend| mobile_node::Config {
            backend,
            ..mobile_node::Config::default()
        };
        let before = snapshot();
        match MobileNodeDataplane::start(config(BackendChoice::Kernel)).await {
            Ok(started) => assert_eq!(started.backend().carrier, Carrier::Kernel),
            Err(refused) => {
                assert_eq!(
                    refused.to_string(),
                    "the kernel backend can't be used: this kernel has no module ipip"
                );
                let started = MobileNodeDataplane::start(config(BackendChoice::Auto))
                    .await
                    .unwrap();
                assert_eq!(started.backend().carrier, Carrier::Userspace);
                assert!(started.backend().reason.contains("ipip"));
            }
        }
        assert_eq!(snapshot(), before, "asking leaves nothing behind");
    });
}

#[test]
fn a_home_agent_needs_the_module_of_each_family_it_serves() {
    namespace::run("home agent's backend", || async {
        has_tunnels();
        let ipv4 = Addresses::from(Ipv4Addr::new(192, 0, 2, 1));
        let ipv6 = Addresses::from(Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 1));
        for (addresses, module) in [(ipv4, "ipip"), (ipv6, "ip6_tunnel")] {
            let config = home_agent::Config {
                backend: BackendChoice::Kernel,
                ..home_agent::Config::new(addresses, Vec::new())
            };
            let before = snapshot();
            match HomeAgentDataplane::start(config).await {
                Ok(started) => {
                    assert_eq!(started.backend().carrier, Carrier::Kernel);
                    started.shutdown().await.unwrap();
                }
                Err(refused) => assert_eq!(
                    refused.to_string(),
                    format!("the kernel backend can't be used: this kernel has no module {module}")
                ),
            }
            assert_eq!(snapshot(), before, "{module}");
        }
    });
}
