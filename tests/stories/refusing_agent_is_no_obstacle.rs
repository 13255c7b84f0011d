//! An agent that refuses with any of the codes of RFC 5944 or RFC 6275 and their relatives: the connection goes plainly.

use std::ops::RangeInclusive;

use lab::{Behaviour, Family, Story, Told, ensure};

use crate::plain_connection::{Street, within_the_hold};

/// Of Mobile IPv6 every denial, and unassigned ones.
const STATUSES: RangeInclusive<u8> = 128..=182;

/// Of Mobile IPv4 every denial a home agent can give, some of a foreign agent's, and unassigned ones.
const CODES: [u8; 30] = [
    2, 9, 64, 65, 69, 77, 127, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140,
    141, 142, 143, 144, 147, 149, 151, 192, 193, 255,
];

/// A refusal must not be answered with a stream of requests.
const MOST_REQUESTS: usize = 12;

pub(crate) fn tell(story: &Story) -> Told {
    let mut street = Street::new()?;
    let mut slowest = (std::time::Duration::ZERO, 0);
    let mut agents = Vec::new();
    let codes: Vec<u8> = match Family::of_this_story() {
        Family::Ipv4 => CODES.to_vec(),
        Family::Ipv6 => STATUSES.collect(),
    };
    for code in &codes {
        let code = *code;
        let name = format!("code{code}.example");
        agents.push((code, street.house_with(&name, Behaviour::Refuse(code))?));
        let took = street.fetch_plainly(&name)?;
        within_the_hold(&name, took)?;
        slowest = slowest.max((took, code));
    }
    for (code, agent) in &agents {
        let count = agent.requests().len();
        ensure(count > 0, || {
            format!("the agent with code {code} was not asked")
        })?;
        ensure(count <= MOST_REQUESTS, || {
            format!("the agent with code {code} got {count} requests")
        })?;
    }
    let bindings = street.agent.status()?.bindings;
    ensure(
        bindings.iter().all(|binding| binding.state != "active"),
        || format!("bindings: {bindings:?}"),
    )?;
    story.saw(format!(
        "{} codes, each connected plainly; slowest {} ms (code {})",
        codes.len(),
        slowest.0.as_millis(),
        slowest.1
    ));
    Ok(())
}
