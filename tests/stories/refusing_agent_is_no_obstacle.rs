//! An agent that refuses with any of the codes of RFC 5944 or RFC 6275 and their relatives: the connection goes plainly,
//! without waiting where a home agent may refuse so.

use std::time::Duration;

use lab::{Behaviour, Failure, FakeAgent, Family, Story, Told, ensure, stretched};

use crate::plain_connection::{HOLD, Street, within_the_hold};

/// Of Mobile IPv4 every denial that a home agent can give and that is final.
const FINAL_CODES: [u8; 20] = [
    128, 129, 130, 131, 132, 134, 135, 136, 137, 138, 139, 140, 141, 142, 143, 144, 147, 149, 151,
    192,
];

/// What no home agent gives, some of it a foreign agent's, and the one that asks for another try.
const OTHER_CODES: [u8; 10] = [2, 9, 64, 65, 69, 77, 127, 133, 193, 255];

/// Of Mobile IPv6 the denials that ask for another try; all others are final.
const OTHER_STATUSES: [u8; 2] = [135, 144];

/// Longer than a connection takes on any machine: the longest that the lab's slowest time leaves to the setting.
const LONG_HOLD: Duration = Duration::from_millis(2_500);

/// A refusal must not be answered with a stream of requests.
const MOST_REQUESTS: usize = 12;

pub(crate) fn tell(story: &Story) -> Told {
    let (last, others): (Vec<u8>, Vec<u8>) = match Family::of_this_story() {
        Family::Ipv4 => (FINAL_CODES.to_vec(), OTHER_CODES.to_vec()),
        Family::Ipv6 => (128..=182).partition(|status| !OTHER_STATUSES.contains(status)),
    };
    let mut street = Street::holding(LONG_HOLD)?;
    let mut agents = Vec::new();
    let mut slowest = Duration::ZERO;
    for code in &last {
        let took = fetch_past(&mut street, *code, &mut agents)?;
        ensure(took < stretched(LONG_HOLD), || {
            format!("code {code}: {} ms until connected", took.as_millis())
        })?;
        slowest = slowest.max(took);
    }
    story.saw(format!(
        "{} codes, each connected plainly without waiting; slowest {} ms",
        last.len(),
        slowest.as_millis()
    ));
    street.hold(HOLD)?;
    for code in &others {
        let took = fetch_past(&mut street, *code, &mut agents)?;
        within_the_hold(&format!("code {code}"), took)?;
    }
    story.saw(format!(
        "{} codes that no home agent ends with, each connected plainly within the hold",
        others.len()
    ));
    for (code, agent) in &agents {
        let count = agent.requests().len();
        ensure((1..=MOST_REQUESTS).contains(&count), || {
            format!("the agent with code {code} got {count} requests")
        })?;
    }
    let bindings = street.agent.status()?.bindings;
    ensure(
        bindings.iter().all(|binding| binding.state != "active"),
        || format!("bindings: {bindings:?}"),
    )
}

/// Fetches from a server whose agent, from now on one of `agents`, refuses with `code`. Gives the time until the
/// connection stood.
fn fetch_past(
    street: &mut Street,
    code: u8,
    agents: &mut Vec<(u8, FakeAgent)>,
) -> Result<Duration, Failure> {
    let name = format!("code{code}.example");
    agents.push((code, street.house_with(&name, Behaviour::Refuse(code))?));
    street.fetch_plainly(&name)
}
