//! What `status` tells, as data. The JSON form is a contract: fields are added, never renamed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Counters by name, in an order that doesn't change. Drops are named `drop_<reason>`.
pub type Counters = BTreeMap<String, u64>;

/// The state of chad.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChadStatus {
    /// The version of the program.
    pub version: String,
    /// Whole seconds since the daemon began to serve.
    pub uptime: u64,
    /// The backend new bindings get, `auto` resolved.
    pub backend: Backend,
    /// Why that backend was taken, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_reason: Option<String>,
    /// The addresses signalling is answered on.
    pub listen: Vec<IpAddr>,
    /// `open` or `authenticated`.
    pub mode: String,
    /// What mobile nodes may know the home agent by, in open mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// What an operator should know all the time, for example that open mode proves nothing.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Each prefix of the pool.
    pub pool: Vec<PoolStatus>,
    /// The bindings, by home address.
    pub bindings: Vec<BindingStatus>,
    /// Of the machine, the data path and the daemon.
    pub counters: Counters,
}

/// The state of mn-agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MnAgentStatus {
    /// The version of the program.
    pub version: String,
    /// Whole seconds since the daemon began to serve.
    pub uptime: u64,
    /// The backend new bindings get, `auto` resolved.
    pub backend: Backend,
    /// Why that backend was taken, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_reason: Option<String>,
    /// Who this mobile node is to home agents.
    pub identity: String,
    /// The address on the access network that bindings use now; none without a binding.
    pub care_of: Option<IpAddr>,
    /// The interface that address is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// How often a binding has moved since the daemon began.
    pub handovers: u64,
    /// How names are resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsStatus>,
    /// What an operator should know all the time.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The home agents heard of, also those without a binding.
    #[serde(default)]
    pub chas: Vec<ChaStatus>,
    /// The bindings, by home address.
    pub bindings: Vec<BindingStatus>,
    /// Of the machine, the data path, the relay and the daemon.
    pub counters: Counters,
}

/// How a binding's packets are carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// By the kernel's tunnels.
    Kernel,
    /// By this process through a TUN device.
    #[default]
    Userspace,
}

/// Where a binding stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BindingState {
    /// Asked for, not yet granted.
    #[default]
    Registering,
    /// Granted; packets flow.
    Active,
    /// The care-of address has changed and the home agent hasn't acknowledged that yet.
    Moving,
    /// Given up; the home agent hasn't acknowledged that yet.
    Releasing,
}

/// One binding. On the mobile node `choa` is unset until the home agent has lent one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BindingStatus {
    /// The home address lent.
    pub choa: Option<IpAddr>,
    /// Where the mobile node is.
    pub care_of: Option<IpAddr>,
    /// Its port where packets travel in UDP.
    pub care_of_port: Option<u16>,
    /// The home agent.
    pub cha: Option<IpAddr>,
    /// The mobile node's identity, octets outside printable ASCII escaped.
    pub identity: String,
    /// Who carries this binding.
    pub backend: Backend,
    /// `ipip`, ...
    pub encapsulation: String,
    /// Where it stands.
    pub state: BindingState,
    /// On the home agent: whether the mobile node has shown that it is at `care_of`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reachability: Option<Reachability>,
    /// Whole seconds until it lapses; null when it doesn't.
    pub expires_in: Option<u64>,
    /// The addresses (on the home agent, prefixes) it serves.
    pub correspondents: Vec<String>,
    /// On the mobile node: the name by which each of `correspondents` was found.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, Vec<String>>,
    /// How often it has moved, which the mobile node counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handovers: Option<u64>,
    /// Traffic so far.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// Whether a mobile node has shown that it is where it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reachability {
    /// What was sent there came back.
    Proven,
    /// Not yet; packets for it are limited.
    Unproven,
}

/// Packets and octets of inner traffic; "in" is out of the tunnel, "out" into it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Packets received through the tunnel.
    pub packets_in: u64,
    /// Octets received through the tunnel.
    pub bytes_in: u64,
    /// Packets sent into the tunnel.
    pub packets_out: u64,
    /// Octets sent into the tunnel.
    pub bytes_out: u64,
}

/// One prefix of chad's pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// The prefix as configured.
    pub prefix: String,
    /// Addresses it can lend; the largest number there is where it has more.
    pub size: u64,
    /// Addresses lent now.
    pub used: u64,
    /// Addresses given back and not yet lent again.
    pub held_down: u64,
}

/// A home agent that mn-agent has heard of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChaStatus {
    /// Its address.
    pub cha: Option<IpAddr>,
    /// The correspondents' names that led to it.
    pub names: Vec<String>,
    /// In a word: that of its binding (`registering`, `active`, `moving`, `releasing`), or `failed`.
    pub state: String,
    /// Why there is no binding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How mn-agent's relay is set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsStatus {
    /// `resolv-conf` or `manual`.
    pub mode: String,
    /// Where applications' queries arrive.
    pub listen: SocketAddr,
    /// Where they are relayed to.
    pub upstream: Vec<SocketAddr>,
}
