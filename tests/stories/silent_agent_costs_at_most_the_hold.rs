//! An agent that hears and says nothing: the first connection waits for the hold, and goes plainly.

use lab::{Behaviour, Story, Told, ensure};

use crate::plain_connection::{HOLD, Street, tell_of, within_the_hold};

pub(crate) fn tell(story: &Story) -> Told {
    let mut street = Street::new()?;
    let agent = street.house_with("silent.example", Behaviour::Silent)?;
    let took = street.fetch_plainly("silent.example")?;
    within_the_hold("silent agent", took)?;
    ensure(took >= HOLD / 2, || {
        format!("the answer was not held: {} ms", took.as_millis())
    })?;
    ensure(!agent.requests().is_empty(), || {
        "the agent was not asked".to_owned()
    })?;
    tell_of(
        story,
        "silent agent, first time",
        took,
        agent.requests().len(),
    );
    let again = street.fetch_plainly("silent.example")?;
    within_the_hold("silent agent again", again)?;
    tell_of(
        story,
        "silent agent, second time",
        again,
        agent.requests().len(),
    );
    Ok(())
}
