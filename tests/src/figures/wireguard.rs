//! wireguard-go between a laptop and a site's gateway: another tunnel through the same machines.

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;

use crate::{LabError, Node, Process, Site, family::net, wait_for};

const DEVICE: &str = "wg0";
const PORT: &str = "51820";
const BOUND: Duration = Duration::from_secs(5);

/// Addresses inside of the tunnel, set aside for benchmarks (RFC 2544).
const LAPTOP: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

/// A tunnel; it is gone when this is dropped.
pub struct WireGuard {
    /// The address of the site's server to which the tunnel leads.
    pub address: Ipv4Addr,
    laptop: Node,
    peer: String,
    endpoint: String,
    _daemons: [Process; 2],
}

impl WireGuard {
    /// Makes a tunnel for what goes from `laptop` to a second address of the site's server.
    pub fn start(laptop: &Node, site: &Site) -> Result<WireGuard, LabError> {
        let address = Ipv4Addr::from(u32::from(site.addresses.ipv4) + 1);
        let second = net(address, 27)?;
        site.server
            .run(move |network| network.address("eth0", second))?;
        let daemons = [run(laptop)?, run(&site.gateway)?];
        let laptop_key = make_key(laptop)?;
        let gateway_key = make_key(&site.gateway)?;
        let wireguard = WireGuard {
            address,
            laptop: laptop.clone(),
            peer: gateway_key,
            endpoint: format!("{}:{PORT}", site.agents.ipv4),
            _daemons: daemons,
        };
        let to = format!("{address}/32");
        let from = format!("{LAPTOP}/32");
        wireguard.aim()?;
        set(laptop, &["peer", &wireguard.peer, "allowed-ips", &to])?;
        set(
            &site.gateway,
            &[
                "listen-port",
                PORT,
                "peer",
                &laptop_key,
                "allowed-ips",
                &from,
            ],
        )?;
        laptop.run(|network| network.address(DEVICE, Ipv4Net::from(LAPTOP)))?;
        for (node, destination) in [(laptop, &to), (&site.gateway, &from)] {
            node.run(|network| network.up(DEVICE))?;
            node.program("ip")
                .args(["route", "add", destination, "dev", DEVICE])
                .finish(BOUND)?
                .success()?;
        }
        Ok(wireguard)
    }

    /// Tells the laptop's end (again) where the gateway is, which also makes it forget the source address that it
    /// had used.
    pub fn aim(&self) -> Result<(), LabError> {
        set(
            &self.laptop,
            &["peer", &self.peer, "endpoint", &self.endpoint],
        )
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
