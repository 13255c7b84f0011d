//! A small internet of network namespaces of our own, for the tests and the benchmark of the
//! userspace backend. Nothing outside of them is touched, and they vanish with their threads.
//!
//! ```text
//!  mn  eth0 10.1.0.2 ---- 10.1.0.1 \
//!                                   router 203.0.113.254 ---- 203.0.113.1 cha 198.51.100.1 ---- 198.51.100.7 cn
//!  mn  eth1 10.2.0.2 ---- 10.2.0.1 /
//! ```
//!
//! The router drops what comes from an address that is not of the network it comes from. Every host has
//! IPv6 as well: `10.1.0.2` is `2001:db8:1::2`, `203.0.113.1` is `2001:db8:f::1`, `198.51.100.7` is
//! `2001:db8:c::7`, and so on; the home address is `2001:db8:4::5`.

#![allow(
    clippy::allow_attributes,
    dead_code,
    reason = "each user needs a part of it"
)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a lab that fails fails the test"
)]

#[path = "../ipv4_packets/mod.rs"]
pub(crate) mod ipv4_packets;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataplane::Addresses;
use dataplane::userspace::{Backend, Role, UserspaceConfig};
#[allow(unused_imports, reason = "each user needs a part of it")]
pub(crate) use ipv4_packets::{datagram, encapsulated};
use mobility_protocol::{
    DataplaneChange, Encapsulation, Family, Reachability, Tunnel, TunnelEndpoints,
};

pub(crate) const HOME: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 5);
pub(crate) const CARE_OF_1: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
pub(crate) const CARE_OF_2: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 2);
pub(crate) const AGENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
pub(crate) const CORRESPONDENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

pub(crate) const HOME_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 4, 0, 0, 0, 0, 5);
pub(crate) const CARE_OF_1_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2);
pub(crate) const CARE_OF_2_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 2);
pub(crate) const AGENT_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 1);
pub(crate) const CORRESPONDENT_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 7);

/// The addresses of one family.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) family: Family,
    pub(crate) home: IpAddr,
    pub(crate) care_of: [IpAddr; 2],
    pub(crate) agent: IpAddr,
    pub(crate) correspondent: IpAddr,
    /// The mobile node's default routers.
    pub(crate) routers: [&'static str; 2],
    /// The word `ip` wants for this family.
    pub(crate) ip: &'static str,
}

pub(crate) const IPV4: Plan = Plan {
    family: Family::Ipv4,
    home: IpAddr::V4(HOME),
    care_of: [IpAddr::V4(CARE_OF_1), IpAddr::V4(CARE_OF_2)],
    agent: IpAddr::V4(AGENT),
    correspondent: IpAddr::V4(CORRESPONDENT),
    routers: ["10.1.0.1", "10.2.0.1"],
    ip: "ip -4",
};

pub(crate) const IPV6: Plan = Plan {
    family: Family::Ipv6,
    home: IpAddr::V6(HOME_6),
    care_of: [IpAddr::V6(CARE_OF_1_6), IpAddr::V6(CARE_OF_2_6)],
    agent: IpAddr::V6(AGENT_6),
    correspondent: IpAddr::V6(CORRESPONDENT_6),
    routers: ["2001:db8:1::1", "2001:db8:2::1"],
    ip: "ip -6",
};

/// Whether namespaces can be made. Says loudly when not.
pub(crate) fn possible() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: this test needs root, to make network namespaces");
    }
    root
}

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace: a thread in it that does what it is told.
pub(crate) struct Namespace {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    path: String,
}

impl Namespace {
    pub(crate) fn new() -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (ready, made) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("unshare");
            ready.send(nix::unistd::gettid()).expect("nobody waits");
            queue.into_iter().for_each(|job| job());
        });
        let thread_id = made.recv().expect("the namespace's thread has ended");
        let path = format!("/proc/{}/task/{thread_id}/ns/net", std::process::id());
        let namespace = Self {
            jobs: Some(jobs),
            thread: Some(thread),
            path,
        };
        // A router whose link-local address is being tested for a second asks for no neighbour.
        namespace.sysctl("net.ipv6.conf.default.accept_dad", "0");
        namespace.sh("ip link set lo up");
        namespace
    }

    /// Does something in the namespace and returns what it returns.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let job = Box::new(move || {
            let _ = done.send(job());
        });
        self.jobs
            .as_ref()
            .expect("stopped")
            .send(job)
            .expect("the namespace's thread has ended");
        result.recv().expect("a job in a namespace has failed")
    }

    /// Runs commands, one per line, which must succeed.
    pub(crate) fn sh(&self, script: &str) -> String {
        let output = self.try_sh(script);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "failed: {script}\n{text}{errors}");
        text
    }

    /// Runs commands that may fail, for at most a minute.
    pub(crate) fn try_sh(&self, script: &str) -> Output {
        let script = script.to_owned();
        self.run(move || {
            let mut command = Command::new("timeout");
            command
                .args(["60", "sh", "-ec", &script])
                .stdin(Stdio::null());
            command.output().expect("sh")
        })
    }

    /// Starts a command that runs beside the others, and is killed with the handle.
    pub(crate) fn start(&self, command: &str) -> Running {
        let command = format!("exec {command}");
        let child = self.run(move || {
            let mut shell = Command::new("sh");
            shell
                .args(["-ec", &command])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            shell.spawn().expect("sh")
        });
        Running(Some(child))
    }

    pub(crate) fn sysctl(&self, name: &str, value: &str) {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        let value = value.to_owned();
        self.run(move || {
            std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"))
        });
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.jobs = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A command that runs.
pub(crate) struct Running(Option<std::process::Child>);

impl Running {
    /// Waits for its end and returns what it has written.
    pub(crate) fn output(mut self) -> String {
        let output = self
            .0
            .take()
            .expect("running")
            .wait_with_output()
            .expect("wait");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    /// Ends it and returns what it has written.
    pub(crate) fn stop(mut self) -> String {
        let mut child = self.0.take().expect("running");
        let pid = nix::unistd::Pid::from_raw(child.id().try_into().expect("a pid"));
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT);
        let _ = child.stdin.take();
        let output = child.wait_with_output().expect("wait");
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for something to become true.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The internet of the module's picture.
pub(crate) struct Lab {
    pub(crate) mn: Namespace,
    pub(crate) router: Namespace,
    pub(crate) cha: Namespace,
    pub(crate) cn: Namespace,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let lab = Self {
            mn: Namespace::new(),
            router: Namespace::new(),
            cha: Namespace::new(),
            cn: Namespace::new(),
        };
        join(
            &lab.mn,
            "eth0",
            "10.1.0.2/24",
            &lab.router,
            "access1",
            "10.1.0.1/24",
        );
        join(
            &lab.mn,
            "eth1",
            "10.2.0.2/24",
            &lab.router,
            "access2",
            "10.2.0.1/24",
        );
        join(
            &lab.router,
            "core",
            "203.0.113.254/24",
            &lab.cha,
            "wan",
            "203.0.113.1/24",
        );
        join(
            &lab.cha,
            "lan",
            "198.51.100.1/24",
            &lab.cn,
            "eth0",
            "198.51.100.7/24",
        );
        for host in [&lab.router, &lab.cha] {
            host.sysctl("net.ipv4.ip_forward", "1");
            host.sysctl("net.ipv6.conf.all.forwarding", "1");
        }
        for (host, interface, address) in [
            (&lab.mn, "eth0", "2001:db8:1::2"),
            (&lab.router, "access1", "2001:db8:1::1"),
            (&lab.mn, "eth1", "2001:db8:2::2"),
            (&lab.router, "access2", "2001:db8:2::1"),
            (&lab.router, "core", "2001:db8:f::fe"),
            (&lab.cha, "wan", "2001:db8:f::1"),
            (&lab.cha, "lan", "2001:db8:c::1"),
            (&lab.cn, "eth0", "2001:db8:c::7"),
        ] {
            host.sh(&format!("ip addr add {address}/64 dev {interface} nodad"));
        }
        for access in ["access1", "access2"] {
            lab.router
                .sysctl(&format!("net.ipv4.conf.{access}.rp_filter"), "1");
        }
        lab.mn.sh("ip route add default via 10.1.0.1 dev eth0
                   ip route add default via 10.2.0.1 dev eth1 metric 100");
        lab.router
            .sh("ip route add 198.51.100.0/24 via 203.0.113.1");
        lab.cha.sh("ip route add default via 203.0.113.254");
        lab.cn.sh("ip route add default via 198.51.100.1");
        lab.mn.sh("ip route add default via 2001:db8:1::1 dev eth0
                   ip route add default via 2001:db8:2::1 dev eth1 metric 2000");
        lab.router
            .sh("ip route add 2001:db8:c::/64 via 2001:db8:f::1
                       nft 'table ip6 lab { chain strict {
                           type filter hook prerouting priority 0;
                           iifname access1 ip6 saddr 2001:db8::/32 ip6 saddr != 2001:db8:1::/64 drop;
                           iifname access2 ip6 saddr 2001:db8::/32 ip6 saddr != 2001:db8:2::/64 drop;
                       }; }'");
        lab.cha.sh("ip route add default via 2001:db8:f::fe");
        lab.cn.sh("ip route add default via 2001:db8:c::1");
        lab
    }

    /// The home agent's backend, with the pool routed to it.
    pub(crate) fn home_agent(&self) -> Backend {
        let backend = self
            .cha
            .run(|| Backend::start(Role::HomeAgent, UserspaceConfig::home_agent(AGENTS)));
        self.cha.sh("ip route add 10.128.0.0/10 dev cha0
                     ip route add 2001:db8:4::/64 dev cha0");
        backend.expect("the home agent's backend")
    }

    /// The mobile node's backend, with the route to the correspondent and the home address.
    pub(crate) fn mobile_node(&self) -> Backend {
        let backend = self
            .mn
            .run(|| Backend::start(Role::MobileNode, UserspaceConfig::mobile_node()));
        self.mn.sh("ip addr replace 10.128.0.5/32 dev mn0
                    ip route replace 198.51.100.7/32 dev mn0 src 10.128.0.5
                    ip addr replace 2001:db8:4::5/128 dev mn0 nodad
                    ip route replace 2001:db8:c::7/128 dev mn0 src 2001:db8:4::5");
        backend.expect("the mobile node's backend")
    }

    /// Both backends, with one binding of each family at the first care-of address.
    pub(crate) fn bound(&self) -> (Backend, Backend) {
        let (home_agent, mobile_node) = (self.home_agent(), self.mobile_node());
        for Plan { agent, care_of, .. } in [IPV4, IPV6] {
            home_agent
                .apply(&install(tunnel(agent, care_of[0])))
                .expect("install");
            mobile_node
                .apply(&install(tunnel(care_of[0], agent)))
                .expect("install");
        }
        (home_agent, mobile_node)
    }
}

/// Two namespaces with a cable between them.
pub(crate) fn join(
    one: &Namespace,
    name: &str,
    address: &str,
    other: &Namespace,
    other_name: &str,
    other_address: &str,
) {
    one.sh(&format!(
        "ip link add {name} type veth peer name {other_name} netns {}
         ip addr add {address} dev {name}
         ip link set {name} up",
        other.path
    ));
    other.sh(&format!(
        "ip addr add {other_address} dev {other_name}
         ip link set {other_name} up"
    ));
}

const AGENTS: Addresses = Addresses {
    ipv4: Some(AGENT),
    ipv6: Some(AGENT_6),
};

pub(crate) fn tunnel(local: impl Into<IpAddr>, remote: impl Into<IpAddr>) -> Tunnel {
    let (local, remote) = (local.into(), remote.into());
    let (plan, encapsulation) = match local {
        IpAddr::V4(_) => (IPV4, Encapsulation::IpInIp),
        IpAddr::V6(_) => (IPV6, Encapsulation::Ip6InIp6),
    };
    Tunnel {
        home_address: plan.home.into(),
        endpoints: TunnelEndpoints {
            local,
            remote,
            interface: None,
        },
        former_remote: None,
        reachability: Reachability::Proven,
        encapsulation,
        withdrawn: [].into(),
        correspondents: [plan.correspondent.into()].into_iter().collect(),
    }
}

pub(crate) fn install(tunnel: Tunnel) -> DataplaneChange {
    DataplaneChange::Install(tunnel)
}

/// The counters that are not zero, without what hosts say at their own times.
pub(crate) fn counted(backend: &Backend) -> Vec<(&'static str, u64)> {
    backend
        .counters()
        .into_iter()
        .filter(|(name, value)| *value != 0 && *name != "membership_reports_ignored")
        .collect()
}

/// Waits until exactly these counters are not zero.
pub(crate) fn settles(backend: &Backend, expected: &[(&'static str, u64)]) {
    let mut seen = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        seen = counted(backend);
        if seen == expected {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(seen, expected);
}

/// One counter.
pub(crate) fn count(backend: &Backend, name: &str) -> u64 {
    backend
        .counters()
        .iter()
        .find(|(known, _)| *known == name)
        .unwrap_or_else(|| panic!("no counter {name}"))
        .1
}

impl Namespace {
    /// Sends a packet as it is, whatever it claims to be, where its destination leads.
    pub(crate) fn forge(&self, packet: Vec<u8>) {
        self.run(move || {
            let (domain, destination) = if packet[0] >> 4 == 6 {
                let destination: [u8; 16] = packet[24..40].try_into().expect("an address");
                (socket2::Domain::IPV6, IpAddr::from(destination))
            } else {
                let destination: [u8; 4] = packet[16..20].try_into().expect("an address");
                (socket2::Domain::IPV4, IpAddr::from(destination))
            };
            let raw =
                socket2::Socket::new(domain, socket2::Type::RAW, Some(255.into())).expect("raw");
            raw.send_to(&packet, &SocketAddr::new(destination, 0).into())
                .expect("send");
        });
    }

    /// The index of an interface.
    pub(crate) fn index(&self, name: &'static str) -> u32 {
        self.run(move || nix::net::if_::if_nametoindex(name).expect("an interface"))
    }
}
