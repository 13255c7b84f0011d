//! No name for an agent, an agent's name without a machine, a machine without an agent: connections go plainly.

use std::net::{Ipv4Addr, Ipv6Addr};

use lab::{Addresses, Family, Story, Told, ensure};

use crate::plain_connection::{Street, tell_of, within_the_hold};

pub(crate) fn tell(story: &Story) -> Told {
    let mut street = Street::new()?;

    street.house("unnamed.example")?;
    street.internet.names().remove("cha.unnamed.example");
    let took = street.fetch_plainly("unnamed.example")?;
    within_the_hold("no name", took)?;
    tell_of(story, "no cha. name", took, 0);
    let asked = street.internet.names().asked("cha.unnamed.example");
    ensure(asked > 0, || "nobody asked for the agent's name".to_owned())?;

    // A machine without anything on port 434 answers with ICMP port unreachable.
    street.house("closed.example")?;
    let took = street.fetch_plainly("closed.example")?;
    within_the_hold("closed port", took)?;
    tell_of(story, "closed port", took, 0);

    // The core has no route there and says so; the address after it is swallowed.
    street.house("nowhere.example")?;
    let unrouted = Addresses {
        ipv4: Ipv4Addr::new(10, 77, 0, 1),
        ipv6: Ipv6Addr::new(0x2001, 0xdb8, 77, 0, 0, 0, 0, 1),
    };
    let unrouted = unrouted.of(Family::of_this_story());
    let names = street.internet.names();
    names.set("cha.nowhere.example", unrouted);
    let took = street.fetch_plainly("nowhere.example")?;
    within_the_hold("no machine", took)?;
    tell_of(story, "no machine", took, 0);

    let bindings = street.agent.status()?.bindings;
    ensure(
        bindings.iter().all(|binding| binding.state != "active"),
        || format!("bindings: {bindings:?}"),
    )?;
    Ok(())
}
