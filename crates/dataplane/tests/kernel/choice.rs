//! Which backend is taken.

use dataplane::mobile_node::{self, MobileNodeDataplane};
use dataplane::{BackendChoice, Carrier};

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
