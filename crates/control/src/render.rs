//! Status as people like to read it.

use crate::status::{
    BindingState, BindingStatus, ChaStatus, ChadStatus, Counters, MnAgentStatus, PoolStatus,
    Reachability,
};

mod table;
mod units;

pub use units::{octets, period};

use table::{Rows, section};

/// The width taken when the output is no terminal.
pub const DEFAULT_WIDTH: usize = 100;

/// chad's status for a terminal of `width` columns.
#[must_use]
pub fn chad(status: &ChadStatus, width: usize) -> String {
    let mut text = headline(
        "chad",
        &status.version,
        status.uptime,
        status.backend,
        status.backend_reason.as_deref(),
    );
    let listen: Vec<String> = status.listen.iter().map(ToString::to_string).collect();
    text.push_str(&format!(
        "listening on {}, {} mode\n",
        listen.join(" and "),
        status.mode
    ));
    if let Some(key) = &status.public_key {
        text.push_str(&format!("public key {key}\n"));
        text.push_str(&format!(
            "to publish it: cha.<name> TXT \"v=cha1; x25519={key}\"\n"
        ));
    }
    warnings(&mut text, &status.warnings);
    section(
        &mut text,
        "Pool",
        &pool(&status.pool),
        width,
        "no addresses to lend",
    );
    let title = format!("Bindings: {}", status.bindings.len());
    section(
        &mut text,
        &title,
        &chad_bindings(&status.bindings),
        width,
        "no mobile node is here",
    );
    counters(&mut text, &status.counters);
    text
}

/// mn-agent's status for a terminal of `width` columns.
#[must_use]
pub fn mn_agent(status: &MnAgentStatus, width: usize) -> String {
    let mut text = headline(
        "mn-agent",
        &status.version,
        status.uptime,
        status.backend,
        status.backend_reason.as_deref(),
    );
    text.push_str(&format!("identity {}\n", status.identity));
    let network = match (&status.care_of, &status.interface) {
        (Some(address), Some(interface)) => format!("care-of address {address} on {interface}"),
        (Some(address), None) => format!("care-of address {address}"),
        (None, _) => "no binding".to_owned(),
    };
    text.push_str(&format!(
        "{network}, {}\n",
        units::times(status.handovers, "handover", "handovers")
    ));
    if let Some(dns) = &status.dns {
        let upstream: Vec<String> = dns.upstream.iter().map(ToString::to_string).collect();
        let upstream = if upstream.is_empty() {
            "nobody".to_owned()
        } else {
            upstream.join(", ")
        };
        text.push_str(&format!(
            "names: {} on {}, asking {upstream}\n",
            dns.mode, dns.listen
        ));
    }
    warnings(&mut text, &status.warnings);
    let title = format!("Bindings: {}", status.bindings.len());
    section(
        &mut text,
        &title,
        &mn_agent_bindings(&status.bindings),
        width,
        "no session needs one",
    );
    if !status.chas.is_empty() {
        section(&mut text, "Home agents", &chas(&status.chas), width, "");
    }
    counters(&mut text, &status.counters);
    text
}

fn headline(
    name: &str,
    version: &str,
    uptime: u64,
    backend: crate::status::Backend,
    reason: Option<&str>,
) -> String {
    let backend = units::backend(backend);
    let reason = reason
        .map(|reason| format!(" ({reason})"))
        .unwrap_or_default();
    format!(
        "{name} {version}, up {}, {backend} backend{reason}\n",
        period(uptime)
    )
}

fn warnings(text: &mut String, warnings: &[String]) {
    for warning in warnings {
        text.push_str(&format!("! {warning}\n"));
    }
}

fn pool(pool: &[PoolStatus]) -> Rows {
    let rows = pool
        .iter()
        .map(|prefix| {
            let free = prefix
                .size
                .saturating_sub(prefix.used)
                .saturating_sub(prefix.held_down);
            let full = if free == 0 { "exhausted" } else { "" };
            vec![
                prefix.prefix.clone(),
                prefix.used.to_string(),
                prefix.held_down.to_string(),
                free.to_string(),
                full.to_owned(),
            ]
        })
        .collect();
    Rows {
        header: vec!["prefix", "lent", "resting", "free", ""],
        right: &[1, 2, 3],
        stacks: &[],
        rows,
    }
}

fn chad_bindings(bindings: &[BindingStatus]) -> Rows {
    let rows = bindings
        .iter()
        .map(|binding| {
            vec![
                units::or_none(binding.choa.as_ref()),
                known_state(binding),
                care_of(binding),
                binding.identity.clone(),
                expiry(binding),
                units::traffic(binding.traffic.bytes_in, binding.traffic.packets_in),
                units::traffic(binding.traffic.bytes_out, binding.traffic.packets_out),
                units::carrier(binding),
            ]
        })
        .collect();
    let header = vec![
        "CHoA",
        "state",
        "care-of address",
        "identity",
        "expires",
        "in",
        "out",
        "carried",
    ];
    Rows {
        header,
        right: &[4, 5, 6],
        stacks: &[&[0, 2, 3], &[1, 7], &[4], &[5, 6]],
        rows,
    }
}

fn mn_agent_bindings(bindings: &[BindingStatus]) -> Rows {
    let rows = bindings
        .iter()
        .map(|binding| {
            vec![
                served(binding),
                units::or_none(binding.choa.as_ref()),
                state(binding.state).to_owned(),
                care_of(binding),
                units::or_none(binding.cha.as_ref()),
                expiry(binding),
                units::or_none(binding.handovers.as_ref()),
                units::traffic(binding.traffic.bytes_in, binding.traffic.packets_in),
                units::traffic(binding.traffic.bytes_out, binding.traffic.packets_out),
            ]
        })
        .collect();
    let header = vec![
        "for",
        "CHoA",
        "state",
        "care-of address",
        "CHA",
        "expires",
        "moves",
        "in",
        "out",
    ];
    Rows {
        header,
        right: &[5, 6, 7, 8],
        stacks: &[&[0], &[1, 3, 4], &[2], &[5, 6], &[7, 8]],
        rows,
    }
}

fn chas(chas: &[ChaStatus]) -> Rows {
    let rows = chas
        .iter()
        .map(|cha| {
            let reason = cha.reason.clone().unwrap_or_default();
            vec![
                units::or_none(cha.cha.as_ref()),
                cha.state.clone(),
                cha.names.join(" "),
                reason,
            ]
        })
        .collect();
    Rows {
        header: vec!["CHA", "state", "found for", "why"],
        right: &[],
        stacks: &[],
        rows,
    }
}

/// The names a binding serves, else the addresses.
fn served(binding: &BindingStatus) -> String {
    let mut names: Vec<&str> = binding
        .names
        .values()
        .flatten()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        binding.correspondents.join("\n")
    } else {
        names.join("\n")
    }
}

fn care_of(binding: &BindingStatus) -> String {
    match (binding.care_of, binding.care_of_port) {
        (Some(address), Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
        (Some(address), None) => address.to_string(),
        (None, _) => "-".to_owned(),
    }
}

fn expiry(binding: &BindingStatus) -> String {
    binding.expires_in.map_or_else(
        || "never".to_owned(),
        |seconds| format!("in {}", period(seconds)),
    )
}

/// The state, and whether the mobile node has shown where it is.
fn known_state(binding: &BindingStatus) -> String {
    let state = state(binding.state);
    match binding.reachability {
        None => state.to_owned(),
        Some(Reachability::Proven) => format!("{state}, proven"),
        Some(Reachability::Unproven) => format!("{state}, unproven"),
    }
}

fn state(state: BindingState) -> &'static str {
    match state {
        BindingState::Registering => "registering",
        BindingState::Active => "active",
        BindingState::Moving => "moving",
        BindingState::Releasing => "releasing",
    }
}

/// What happened, then what was dropped and why; zeros say nothing.
fn counters(text: &mut String, counters: &Counters) {
    let label = counters
        .keys()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or_default();
    let mut group = |title: &str, dropped: bool| {
        let chosen = counters
            .iter()
            .filter(|(name, count)| **count > 0 && name.starts_with("drop_") == dropped);
        let lines: Vec<String> = chosen
            .map(|(name, count)| {
                let name = name.strip_prefix("drop_").unwrap_or(name).replace('_', " ");
                format!("  {name:label$}  {count:>12}\n")
            })
            .collect();
        if !lines.is_empty() {
            text.push_str(&format!("\n{title}\n{}", lines.concat()));
        }
    };
    group("Counters", false);
    group("Dropped, by reason", true);
}

#[cfg(test)]
mod tests;
