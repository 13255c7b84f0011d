//! What `chad` shows of itself: the status and the log.

use std::time::Instant;

use control::config::chad::{Config, SecurityMode};
use control::status::{
    Backend, BindingState, BindingStatus, ChadStatus, PoolStatus, Reachability, Traffic,
};
use dataplane::Carrier;
use dataplane::home_agent::{HomeAgentDataplane, Measured};
use mobility_protocol::home_agent::{self, Event, HomeAgent};
use mobility_protocol::{Encapsulation, Family, HomeAddress};

/// What the first form of open mode is worth.
const LEGACY_WARNING: &str =
    "legacy-open = true: bindings under the published key are protected from nobody";

/// The state of the daemon, for `status`.
pub(crate) fn chad(
    config: &Config,
    agent: &HomeAgent,
    dataplane: &HomeAgentDataplane,
    started: Instant,
    own_counters: impl IntoIterator<Item = (&'static str, u64)>,
) -> ChadStatus {
    let now = Instant::now();
    let counters = agent
        .counters()
        .into_iter()
        .chain(dataplane.counters())
        .chain(own_counters);
    let measured = dataplane.measure();
    ChadStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime: now.duration_since(started).as_secs(),
        backend: backend(dataplane.backend().carrier),
        backend_reason: Some(dataplane.backend().reason.clone()),
        listen: config.listen.addresses().collect(),
        mode: config.security.mode.name().to_owned(),
        public_key: agent.public_key().map(|key| key.to_string()),
        warnings: warnings(config),
        pool: agent
            .pool_usage()
            .into_iter()
            .map(|usage| PoolStatus {
                prefix: usage.prefix.to_string(),
                size: usage.size,
                used: usage.used,
                held_down: usage.held_down,
            })
            .collect(),
        bindings: agent
            .bindings(now)
            .map(|binding| self::binding(config, dataplane, &measured, binding))
            .collect(),
        counters: counters
            .map(|(name, count)| (name.to_owned(), count))
            .collect(),
    }
}

/// What an operator should know all the time.
pub(crate) fn warnings(config: &Config) -> Vec<String> {
    match (config.security.mode, config.security.legacy_open) {
        (SecurityMode::Open, true) => vec![LEGACY_WARNING.to_owned()],
        (SecurityMode::Open, false) | (SecurityMode::Authenticated, _) => Vec::new(),
    }
}

/// What the configuration asks for, as the data path calls it.
pub(crate) fn backend_choice(choice: control::config::BackendChoice) -> dataplane::BackendChoice {
    match choice {
        control::config::BackendChoice::Auto => dataplane::BackendChoice::Auto,
        control::config::BackendChoice::Kernel => dataplane::BackendChoice::Kernel,
        control::config::BackendChoice::Userspace => dataplane::BackendChoice::Userspace,
    }
}

fn backend(carrier: Carrier) -> Backend {
    match carrier {
        Carrier::Kernel => Backend::Kernel,
        Carrier::Userspace => Backend::Userspace,
    }
}

fn binding(
    config: &Config,
    dataplane: &HomeAgentDataplane,
    measured: &Measured<'_>,
    binding: home_agent::BindingView,
) -> BindingStatus {
    BindingStatus {
        choa: Some(binding.home_address.ip()),
        care_of: Some(binding.care_of.ip()),
        cha: config.listen.toward(binding.care_of.ip()),
        identity: binding.identity.to_string(),
        backend: backend(dataplane.backend().carrier),
        encapsulation: Encapsulation::within(binding.home_address.family())
            .name()
            .to_owned(),
        state: match binding.state {
            home_agent::BindingState::Active => BindingState::Active,
            home_agent::BindingState::Moving => BindingState::Moving,
        },
        reachability: Some(match binding.reachability {
            mobility_protocol::Reachability::Proven => Reachability::Proven,
            mobility_protocol::Reachability::Unproven => Reachability::Unproven,
        }),
        expires_in: Some(binding.expires_in.as_secs()),
        correspondents: config
            .correspondents
            .iter()
            .filter(|prefix| Family::of(prefix.addr()) == binding.home_address.family())
            .map(ToString::to_string)
            .collect(),
        traffic: traffic(measured, binding.home_address),
        ..BindingStatus::default()
    }
}

fn traffic(measured: &Measured<'_>, home_address: HomeAddress) -> Traffic {
    measured
        .traffic(home_address)
        .map_or_else(Traffic::default, |traffic| Traffic {
            packets_in: traffic.packets_in,
            bytes_in: traffic.bytes_in,
            packets_out: traffic.packets_out,
            bytes_out: traffic.bytes_out,
        })
}

/// Writes an event down. Who is where is nobody's business at the usual level: addresses of mobile
/// nodes and identities are for debugging. So is what a stranger may do as often as he likes: how often
/// bindings begin, and so how often they end, is bounded by rates.
pub(crate) fn log(event: &Event) {
    match event {
        Event::Dataplane(_) => {}
        Event::BindingCreated {
            home_address,
            care_of,
            identity,
            lifetime,
        } => {
            tracing::info!(%home_address, lifetime = lifetime.as_secs(), "binding created");
            tracing::debug!(%home_address, %care_of, %identity, "binding created for");
        }
        Event::BindingMoved {
            home_address,
            from,
            to,
            identity,
            configured,
        } => {
            if *configured {
                tracing::info!(%home_address, "binding moved");
            }
            tracing::debug!(%home_address, %from, %to, %identity, "binding moved between");
        }
        Event::BindingRefreshed {
            home_address,
            lifetime,
        } => {
            tracing::debug!(%home_address, lifetime = lifetime.as_secs(), "binding refreshed");
        }
        Event::BindingReleased {
            home_address,
            identity,
        } => {
            tracing::info!(%home_address, "binding released");
            tracing::debug!(%home_address, %identity, "binding released by");
        }
        Event::BindingExpired {
            home_address,
            identity,
        } => {
            tracing::info!(%home_address, "binding expired");
            tracing::debug!(%home_address, %identity, "binding expired of");
        }
        Event::Refused {
            code,
            source,
            identity,
        } => {
            tracing::debug!(%code, %source, %identity, "registration refused");
        }
    }
}
