//! Network namespaces for tests: a thread that left the host's network, and peers beside it.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataplane::MOBILE_NODE_DEVICE;
use nix::sched::{CloneFlags, unshare};
use tun_rs::SyncDevice;

/// How long a test waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// This host's address on the access network that [`attach`] makes.
pub(crate) const ACCESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// The router of that network.
pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// A correspondent behind the router.
pub(crate) const CORRESPONDENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// Another host behind the router.
pub(crate) const OTHER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// A home address.
pub(crate) const HOME: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 9);

pub(crate) const ACCESS_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10);
pub(crate) const ROUTER_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
pub(crate) const CORRESPONDENT_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 7);
pub(crate) const OTHER_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xd, 0, 0, 0, 0, 1);
pub(crate) const HOME_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 4, 0, 0, 0, 0, 9);

/// Runs a test in a namespace of its own, with a runtime of its own; says so when it can't.
pub(crate) fn run<F: Future<Output = ()>>(name: &'static str, test: impl FnOnce() -> F + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn_scoped(scope, || {
                if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
                    eprintln!("SKIPPED {name}: no network namespace without root ({error})");
                    return;
                }
                silence_ipv6();
                ip("link set lo up");
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap()
                    .block_on(test());
            });
        if let Err(panic) = thread.unwrap().join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Neighbour discovery would send and report at its own times.
fn silence_ipv6() {
    for scope in ["all", "default"] {
        drop(std::fs::write(
            format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"),
            "1",
        ));
    }
}

/// Runs `ip` in this thread's namespace.
pub(crate) fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// All that this crate may change, as `ip` shows it.
pub(crate) fn snapshot() -> String {
    [
        "rule",
        "-6 rule",
        "route show table all",
        "-6 route show table all",
        "-o addr",
        "-o link",
    ]
    .map(ip)
    .join("\n")
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < end, "never: {what}");
        // Asking may take long on an emulated machine; what is waited for must get its turn.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A second host: a thread in a namespace of its own that runs what it is given.
pub(crate) struct Peer {
    jobs: Option<mpsc::Sender<Box<dyn FnOnce() + Send>>>,
    thread: Option<JoinHandle<()>>,
    thread_id: i32,
}

impl Peer {
    pub(crate) fn new() -> Self {
        let (jobs, queue) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            silence_ipv6();
            tell.send(nix::unistd::gettid().as_raw()).unwrap();
            for job in queue {
                job();
            }
        });
        let thread_id = told.recv().unwrap();
        Self {
            jobs: Some(jobs),
            thread: Some(thread),
            thread_id,
        }
    }

    /// Its thread, by which `ip` finds its namespace.
    pub(crate) const fn thread_id(&self) -> i32 {
        self.thread_id
    }

    /// Joins this namespace's device `here` and the peer's device `there` by a cable.
    pub(crate) fn connect(&self, here: &str, there: &str) {
        ip(&format!(
            "link add {here} type veth peer name {there} netns {}",
            self.thread_id
        ));
        ip(&format!("link set {here} up"));
        let there = there.to_owned();
        self.run(move || drop(ip(&format!("link set {there} up"))));
    }

    pub(crate) fn run<R: Send + 'static>(&self, job: impl FnOnce() -> R + Send + 'static) -> R {
        let (tell, told) = mpsc::channel();
        let job = Box::new(move || tell.send(job()).unwrap());
        self.jobs.as_ref().unwrap().send(job).unwrap();
        told.recv().unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Connects this namespace by `wlan0` to a router, behind which the correspondent and others are.
pub(crate) fn attach() -> Peer {
    let peer = Peer::new();
    peer.connect("wlan0", "up0");
    ip(&format!("addr add {ACCESS}/24 dev wlan0"));
    peer.run(|| {
        ip("link set lo up");
        ip(&format!("addr add {ROUTER}/24 dev up0"));
        ip(&format!("addr add {CORRESPONDENT}/32 dev lo"));
        ip(&format!("addr add {OTHER}/32 dev lo"));
    });
    ip(&format!("route add default via {ROUTER}"));
    let up = || ip("-o link show wlan0").contains("state UP");
    let end = Instant::now() + PATIENCE;
    while !up() {
        assert!(Instant::now() < end, "the carrier never came");
    }
    peer
}

/// Echoes every octet of every connection to port 7 of the correspondent.
pub(crate) fn echo(peer: &Peer) {
    echo_at(peer, CORRESPONDENT.into());
}

pub(crate) fn echo_at(peer: &Peer, address: IpAddr) {
    peer.run(move || {
        let listener = TcpListener::bind((address, 7)).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                std::thread::spawn(move || {
                    let mut reader = stream.try_clone().unwrap();
                    drop(std::io::copy(&mut reader, &mut stream));
                });
            }
        });
    });
}

pub(crate) fn says_back(stream: &mut TcpStream) {
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

/// As [`attach`], with IPv6 on both sides: addresses that are usable at once, nothing by
/// advertisement.
pub(crate) fn attach_6() -> Peer {
    speak_ipv6();
    let peer = attach();
    peer.run(|| {
        set_ipv6("up0", "accept_dad", "0");
        speak_ipv6();
        for device in ["lo", "up0"] {
            set_ipv6(device, "disable_ipv6", "0");
        }
        ip(&format!("addr add {ROUTER_6}/64 dev up0 nodad"));
        for address in [CORRESPONDENT_6, OTHER_6] {
            ip(&format!("addr add {address}/128 dev lo nodad"));
        }
    });
    for device in ["lo", "wlan0"] {
        set_ipv6(device, "disable_ipv6", "0");
    }
    ip(&format!("addr add {ACCESS_6}/64 dev wlan0 nodad"));
    ip(&format!("-6 route add default via {ROUTER_6} dev wlan0"));
    peer
}

/// Devices to come have IPv6, don't test their addresses for duplicates, and don't ask for routers.
pub(crate) fn speak_ipv6() {
    for (setting, value) in [
        ("accept_dad", "0"),
        ("router_solicitations", "0"),
        ("disable_ipv6", "0"),
    ] {
        set_ipv6("default", setting, value);
    }
    set_ipv6("all", "disable_ipv6", "0");
}

/// A setting of IPv6 in this thread's namespace.
pub(crate) fn set_ipv6(device: &str, setting: &str, value: &str) {
    let path = format!("/proc/sys/net/ipv6/conf/{device}/{setting}");
    std::fs::write(&path, value).unwrap();
}

/// The mobile node's TUN device, held by this process: plain packets, one at a time.
pub(crate) fn tunnel_device() -> SyncDevice {
    let device = tun_rs::DeviceBuilder::new()
        .name(MOBILE_NODE_DEVICE)
        .inherit_enable_state()
        .build_sync()
        .unwrap();
    device.set_nonblocking(true).unwrap();
    device
}

/// The mobile node's TUN device, held by a process that can be killed.
pub(crate) fn tunnel_device_holder() -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "namespace::hold_the_device"])
        .env("HOLD_THE_DEVICE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "the process that tunnel_device_holder starts"]
fn hold_the_device() {
    if std::env::var_os("HOLD_THE_DEVICE").is_none() {
        return;
    }
    let device = tunnel_device();
    // Ends with the test that started it, or by its SIGKILL.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
    drop(device);
}
