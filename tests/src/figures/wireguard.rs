//! WireGuard between a laptop and a site's gateway: another tunnel through the same machines.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;

use super::hand::{go_through, next_address};
use crate::{Addresses, Family, LabError, Node, Process, Site, wait_for};

const DEVICE: &str = "wg0";
const PORT: u16 = 51820;
const BOUND: Duration = Duration::from_secs(5);

/// The laptop's address inside of the tunnel, set aside for benchmarks (RFC 2544, RFC 5180).
const LAPTOP: Addresses = Addresses {
    ipv4: Ipv4Addr::new(198, 18, 0, 2),
    ipv6: Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 2),
};

/// Who wraps the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// wireguard-go.
    InUserSpace,
    /// The kernel's module.
    InKernel,
}

/// A tunnel of the story's family, inside and outside. That of wireguard-go is gone when this is dropped.
pub struct WireGuard {
    /// The address of the site's server to which the tunnel leads.
    pub address: IpAddr,
    laptop: Node,
    peer: String,
    endpoint: SocketAddr,
    _daemons: Vec<Process>,
}

impl WireGuard {
    /// Makes a tunnel for what goes from `laptop` to a second address of the site's server.
    pub fn start(laptop: &Node, site: &Site, kind: Kind) -> Result<WireGuard, LabError> {
        let family = Family::of_this_story();
        let address = next_address(site.address, 1);
        let mut daemons = Vec::new();
        for node in [laptop, &site.gateway] {
            match kind {
                Kind::InUserSpace => daemons.push(run(node)?),
                Kind::InKernel => make(node)?,
            }
        }
        let laptop_key = make_key(laptop)?;
        let gateway_key = make_key(&site.gateway)?;
        let wireguard = WireGuard {
            address,
            laptop: laptop.clone(),
            peer: gateway_key,
            endpoint: SocketAddr::new(site.agent, PORT),
            _daemons: daemons,
        };
        let to = IpNet::from(address).to_string();
        let from = IpNet::from(LAPTOP.of(family)).to_string();
        wireguard.aim()?;
        set(laptop, &["peer", &wireguard.peer, "allowed-ips", &to])?;
        let port = PORT.to_string();
        set(
            &site.gateway,
            &[
                "listen-port",
                &port,
                "peer",
                &laptop_key,
                "allowed-ips",
                &from,
            ],
        )?;
        go_through(DEVICE, laptop, LAPTOP.of(family), site, address)?;
        Ok(wireguard)
    }

    /// Tells the laptop's end (again) where the gateway is, which also makes it forget the source address that it
    /// had used.
    pub fn aim(&self) -> Result<(), LabError> {
        let endpoint = self.endpoint.to_string();
        set(&self.laptop, &["peer", &self.peer, "endpoint", &endpoint])
    }
}

fn run(node: &Node) -> Result<Process, LabError> {
    let mut process = node
        .program("wireguard-go")
        .args(["-f", DEVICE])
        .env("LOG_LEVEL", "verbose")
        .start()?;
    wait_for("wireguard-go to answer", BOUND, || {
        if !process.is_running() {
            let words = process.stderr();
            return Err(LabError::Other(format!("wireguard-go ended: {words}")));
        }
        let shown = node.program("wg").args(["show", DEVICE]).finish(BOUND)?;
        Ok(shown.success().ok())
    })?;
    Ok(process)
}

/// The kernel's device.
fn make(node: &Node) -> Result<(), LabError> {
    node.program("ip")
        .args(["link", "add", DEVICE, "type", "wireguard"])
        .finish(BOUND)?
        .success()
        .map(drop)
}

/// Gives `node` a private key, and returns the public one.
fn make_key(node: &Node) -> Result<String, LabError> {
    let file = node.directory().join("wireguard.key");
    node.program("wg")
        .arg("genkey")
        .stdout_to(&file)
        .finish(BOUND)?
        .success()?;
    node.program("wg")
        .args(["set", DEVICE, "private-key"])
        .arg(&file)
        .finish(BOUND)?
        .success()?;
    let shown = node
        .program("wg")
        .args(["show", DEVICE, "public-key"])
        .finish(BOUND)?
        .success()?;
    Ok(shown.stdout.trim().to_owned())
}

fn set(node: &Node, arguments: &[&str]) -> Result<(), LabError> {
    node.program("wg")
        .args(["set", DEVICE])
        .args(arguments)
        .finish(BOUND)?
        .success()
        .map(drop)
}
